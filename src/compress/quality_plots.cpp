#include "compress/quality_plots.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "compress/quality_words.h"
#include "compress/report_drawing.h"

namespace autoglm {
namespace {

constexpr int64_t kMostTicks = 10;  // of numbered things below a plot

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
  plot.frame(below, axis.ticks(Side::left),
             Text{"share of tokens with at most this", "散度不超过此值的 token 比例"}.in(language), "KLD");
  std::vector<std::pair<double, double>> points;
  for (const QuantilePoint& point : report.quantiles) {
    const double at = point.share >= 1 ? 1.0 : -std::log10(1 - point.share) / kDecades;
    points.emplace_back(at, axis.place(point.kld));
  }
  plot.curve(points);
  for (size_t i = 0; i < points.size(); ++i) {
    plot.dot(points[i].first, points[i].second, "dot",
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
  plot.frame(below, axis.ticks(Side::left), x_title, "KLD");
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
  std::vector<Tick> below;
  const int64_t windows = std::ssize(report.kld_by_window), step = whole_step(windows, kMostTicks);
  for (int64_t window = step; window <= windows; window += step) {
    below.push_back({static_cast<double>(window - 1) / n, fmt::format("{}", window)});
  }
  plot.frame(below, axis.ticks(Side::left), Text{"window", "窗口"}.in(language), "KLD");
  for (size_t i = 0; i < report.kld_by_window.size(); ++i) {
    plot.dot(static_cast<double>(i) / n, axis.place(report.kld_by_window[i]), "dot",
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
  const auto step = static_cast<int>(whole_step(layers, kMostTicks));
  for (int layer = 0; layer < layers; layer += step) below.push_back({at(layer), fmt::format("{}", layer)});
  plot.frame(below, axis.ticks(Side::left), Text{"layer", "层"}.in(language),
             Text{"relative error", "相对误差"}.in(language));
  for (const TensorFigures& t : report.tensors.tensors) {
    if (t.relative_error == 0) continue;
    std::string words = fmt::format("{} ({}): {}", t.name, t.type_b, small_number(t.relative_error));
    if (t.fault) words += " - " + fault_text(*t.fault, language);
    plot.dot(at(t.layer), axis.place(t.relative_error), t.fault ? "fault" : "dot", words);
  }
  return plot.finish();
}

}  // namespace

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
