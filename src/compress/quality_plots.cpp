#include "compress/quality_plots.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "compress/quality_words.h"

namespace autoglm {
namespace {

// In SVG units; the page scales them.
constexpr double kWidth = 640, kHeight = 260;
constexpr double kLeft = 64, kRight = 16, kTop = 12, kBottom = 44;
constexpr double kSmallest = 1e-7;  // what a logarithmic axis shows for 0

struct Tick {
  double at = 0;  // 0 to 1 along the axis
  std::string label;
};

/// A value axis from `low` to `high`.
struct Axis {
  double low = 0, high = 1;
  bool logarithmic = false;
  double place(double value) const {
    if (!logarithmic) return (value - low) / (high - low);
    return (std::log10(std::max(value, kSmallest)) - low) / (high - low);
  }
  std::vector<Tick> ticks() const {
    std::vector<Tick> out;
    if (logarithmic) {
      for (int power = static_cast<int>(std::ceil(low)); power <= static_cast<int>(high); ++power) {
        out.push_back({place(std::pow(10.0, power)), fmt::format("1e{}", power)});
      }
      return out;
    }
    for (int i = 0; i <= 4; ++i) out.push_back({i / 4.0, fmt::format("{:.3g}", low + (high - low) * i / 4)});
    return out;
  }
};

Axis log_axis(const std::vector<double>& values) {
  double low = 1e9, high = kSmallest;
  for (const double value : values) {
    if (value > 0) low = std::min(low, value);
    high = std::max(high, value);
  }
  low = std::clamp(low, kSmallest, high);
  Axis axis{std::floor(std::log10(low)), std::ceil(std::log10(high)), true};
  if (axis.high <= axis.low) axis.high = axis.low + 1;
  return axis;
}

Axis axis_from_zero(const std::vector<double>& values) {
  const double most = values.empty() ? 0 : *std::ranges::max_element(values);
  return {0, most > 0 ? 1.05 * most : 1, false};
}

/// One plot being drawn.
class Drawing {
 public:
  explicit Drawing(std::string_view label) {
    out_ = fmt::format(R"(<svg viewBox="0 0 {} {}" role="img" aria-label="{}">)", kWidth, kHeight, html_escaped(label));
  }
  static double x(double at) { return kLeft + at * (kWidth - kLeft - kRight); }
  static double y(double at) { return kHeight - kBottom - std::clamp(at, 0.0, 1.0) * (kHeight - kTop - kBottom); }

  void frame(const std::vector<Tick>& below, const std::vector<Tick>& left, std::string_view x_title,
             std::string_view y_title) {
    for (const Tick& tick : left) {
      line(x(0), y(tick.at), x(1), y(tick.at), "grid");
      text(kLeft - 6, y(tick.at) + 4, tick.label, "end");
    }
    for (const Tick& tick : below) text(x(tick.at), kHeight - kBottom + 16, tick.label, "middle");
    line(x(0), y(0), x(1), y(0), "axis");
    text(x(0.5), kHeight - 8, x_title, "middle");
    out_ += fmt::format(R"svg(<text transform="translate(12 {:.1f}) rotate(-90)" text-anchor="middle">{}</text>)svg",
                        y(0.5), html_escaped(y_title));
  }
  void line(double x1, double y1, double x2, double y2, std::string_view style) {
    out_ += fmt::format(R"(<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>)", style, x1, y1, x2, y2);
  }
  void text(double at_x, double at_y, std::string_view words, std::string_view anchor) {
    out_ += fmt::format(R"(<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>)", at_x, at_y, anchor,
                        html_escaped(words));
  }
  void curve(const std::vector<std::pair<double, double>>& points) {
    out_ += R"(<polyline class="curve" points=")";
    for (const auto& [px, py] : points) out_ += fmt::format("{:.1f},{:.1f} ", x(px), y(py));
    out_ += R"("/>)";
  }
  void dot(double px, double py, bool fault, std::string_view words) {
    out_ += fmt::format(R"(<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{}"><title>{}</title></circle>)",
                        fault ? "fault" : "dot", x(px), y(py), fault ? 5 : 3, html_escaped(words));
  }
  void bar(double from, double to, double height, std::string_view words) {
    out_ += fmt::format(
        R"(<rect class="bar" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}</title></rect>)", x(from),
        y(height), x(to) - x(from), y(0) - y(height), html_escaped(words));
  }
  std::string finish() { return std::move(out_) + "</svg>"; }

 private:
  std::string out_;
};

std::string distribution(const QualityReport& report, Language language, const std::string& title) {
  // x: how many tokens are worse, by factors of ten.
  constexpr double kDecades = 3.2;
  std::vector<double> values;
  for (const QuantilePoint& point : report.quantiles) {
    if (point.share > 0) values.push_back(point.kld);
  }
  const Axis axis = log_axis(values);
  Drawing plot(title);
  std::vector<Tick> below;
  for (const auto& [share, label] :
       {std::pair{0.0, "0 %"}, {0.5, "50 %"}, {0.9, "90 %"}, {0.99, "99 %"}, {0.999, "99.9 %"}}) {
    below.push_back({-std::log10(1 - share) / kDecades, label});
  }
  plot.frame(below, axis.ticks(), Text{"share of tokens with at most this", "散度不超过此值的 token 比例"}.in(language),
             "KLD");
  std::vector<std::pair<double, double>> points;
  for (const QuantilePoint& point : report.quantiles) {
    const double at = point.share >= 1 ? 1.0 : -std::log10(1 - point.share) / kDecades;
    points.emplace_back(at, axis.place(point.kld));
  }
  plot.curve(points);
  for (size_t i = 0; i < points.size(); ++i) {
    plot.dot(points[i].first, points[i].second, false,
             fmt::format("{:.2f} %: {}", 100 * report.quantiles[i].share, small_number(report.quantiles[i].kld)));
  }
  return plot.finish();
}

std::string bars(const std::vector<QualityGroup>& groups, std::string_view x_title, const std::string& title) {
  std::vector<double> values;
  for (const QualityGroup& group : groups) values.push_back(group.figures.kld_mean_ci.high);
  const Axis axis = axis_from_zero(values);
  Drawing plot(title);
  std::vector<Tick> below;
  const auto n = static_cast<double>(groups.size());
  for (size_t i = 0; i < groups.size(); ++i) {
    std::string label = groups[i].name;
    if (groups.size() > 8 && i % (groups.size() / 8 + 1) != 0) label.clear();
    below.push_back({(static_cast<double>(i) + 0.5) / n, label});
  }
  plot.frame(below, axis.ticks(), x_title, "KLD");
  for (size_t i = 0; i < groups.size(); ++i) {
    const DivergenceSummary& f = groups[i].figures;
    const double from = static_cast<double>(i) / n;
    const std::string words = fmt::format("{}: {} ({} … {})", groups[i].name, small_number(f.kld_mean),
                                          small_number(f.kld_mean_ci.low), small_number(f.kld_mean_ci.high));
    plot.bar(from + 0.15 / n, from + 0.85 / n, axis.place(f.kld_mean), words);
    const double middle = Drawing::x(from + 0.5 / n);
    plot.line(middle, Drawing::y(axis.place(f.kld_mean_ci.low)), middle, Drawing::y(axis.place(f.kld_mean_ci.high)),
              "whisker");
  }
  return plot.finish();
}

std::string windows(const QualityReport& report, Language language, const std::string& title) {
  const Axis axis = axis_from_zero(report.kld_by_window);
  Drawing plot(title);
  const auto n = static_cast<double>(std::max<size_t>(1, report.kld_by_window.size() - 1));
  plot.frame({{0, "1"}, {1, fmt::format("{}", report.kld_by_window.size())}}, axis.ticks(),
             Text{"window", "窗口"}.in(language), "KLD");
  for (size_t i = 0; i < report.kld_by_window.size(); ++i) {
    plot.dot(static_cast<double>(i) / n, axis.place(report.kld_by_window[i]), false,
             fmt::format("{}: {}", i + 1, small_number(report.kld_by_window[i])));
  }
  return plot.finish();
}

std::string tensors(const QualityReport& report, Language language, const std::string& title) {
  std::vector<double> values;
  int layers = 1;
  for (const TensorFigures& t : report.tensors.tensors) {
    values.push_back(t.relative_error);
    layers = std::max(layers, t.layer + 1);
  }
  const Axis axis = log_axis(values);
  Drawing plot(title);
  // Tensors outside the layers stand left of layer 0.
  const auto at = [&](int layer) { return (layer + 1.5) / (layers + 1); };
  std::vector<Tick> below = {{at(-1), "-"}};
  for (int layer = 0; layer < layers; layer += layers / 10 + 1) below.push_back({at(layer), fmt::format("{}", layer)});
  plot.frame(below, axis.ticks(), Text{"layer", "层"}.in(language), Text{"relative error", "相对误差"}.in(language));
  for (const TensorFigures& t : report.tensors.tensors) {
    if (t.relative_error == 0) continue;
    std::string words = fmt::format("{} ({}): {}", t.name, t.type_b, small_number(t.relative_error));
    if (t.fault) words += " - " + fault_text(*t.fault, language);
    plot.dot(at(t.layer), axis.place(t.relative_error), t.fault.has_value(), words);
  }
  return plot.finish();
}

}  // namespace

std::string html_escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '&':
        out += "&amp;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') {
          out += "\xEF\xBF\xBD";
        } else {
          out += c;
        }
    }
  }
  return out;
}

std::vector<ReportPlot> report_plots(const QualityReport& report, Language language) {
  const auto say = [&](std::string_view en, std::string_view zh) { return std::string(Text{en, zh}.in(language)); };
  std::vector<ReportPlot> out;
  const auto add = [&](const std::string& title, std::string svg) { out.push_back({title, std::move(svg)}); };
  std::string title = say("Divergence of tokens", "各 token 的散度");
  add(title, distribution(report, language, title));
  title = say("Divergence by position", "按位置的散度");
  add(title, bars(report.by_position, say("position in the window", "窗口内的位置"), title));
  if (report.by_kind.size() > 1) {
    title = say("Divergence by kind of text", "按文本种类的散度");
    add(title, bars(report.by_kind, say("kind", "种类"), title));
  }
  if (report.kld_by_window.size() > 1) {
    title = say("Divergence by window", "按窗口的散度");
    add(title, windows(report, language, title));
  }
  if (!report.tensors.tensors.empty()) {
    title = say("Error of tensors by layer", "各层张量的误差");
    add(title, tensors(report, language, title));
  }
  return out;
}

}  // namespace autoglm
