#include "compress/report_drawing.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "compress/report_format.h"

namespace autoglm {
namespace {

// In SVG units; the page scales them.
constexpr double kWidth = 640, kHeight = 260;
constexpr double kLeft = 64, kRight = 16, kTop = 12, kBottom = 44;
constexpr double kSmallest = 1e-7;  // what a logarithmic axis shows for 0

constexpr double kFont = 12;  // the page's style
constexpr double kAlong = kWidth - kLeft - kRight, kUpward = kHeight - kTop - kBottom;

// Most columns of a label beside a plot: what kLeft has room for.
constexpr size_t kMostColumns = 6;

// About what a label takes along its axis, with some air. Latin letters and digits of the usual fonts are up to 0.6 em
// wide, Chinese ones 1 em.
double extent(std::string_view label, Side side) {
  if (side == Side::left) return 2 * kFont;
  double columns = 0;
  for (const char c : label) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80) columns += 0.6;
    if (byte >= 0xc0) columns += 1;
  }
  return kFont * (columns + 0.5);
}

double length(Side side) { return side == Side::below ? kAlong : kUpward; }

bool apart(const Tick& before, const Tick& tick, Side side) {
  if (before.label.empty() || tick.label.empty()) return true;
  const double room = (extent(before.label, side) + extent(tick.label, side)) / 2;
  return (tick.at - before.at) * length(side) >= room;
}

// 2e-5 and 1.5e6, not 2e-05: with as many digits as steps of that size need.
std::string scientific(double value, double step) {
  if (value == 0) return "0";
  const double power = std::floor(std::log10(std::abs(value)) + 1e-9);
  const int digits = 1 + static_cast<int>(std::max(0.0, power - std::floor(std::log10(step) + 1e-9)));
  return fmt::format("{:.{}g}e{:.0f}", value / std::pow(10.0, power), digits, power);
}

std::string fixed(double value, double step) {
  const int digits = static_cast<int>(std::max(0.0, -std::floor(std::log10(step) + 1e-9)));
  return fmt::format("{:.{}f}", value, digits);
}

// The largest nice number that is at most `value`: its power of ten, and 1, 2 or 5.
std::pair<int, int> nice_below(double value) {
  const int power = static_cast<int>(std::floor(std::log10(value) + 1e-9));
  const double times = value / std::pow(10.0, power);
  return {power, times >= 5 - 1e-9 ? 5 : times >= 2 - 1e-9 ? 2 : 1};
}

void next_nice(std::pair<int, int>& nice) {
  nice = nice.second == 1   ? std::pair{nice.first, 2}
         : nice.second == 2 ? std::pair{nice.first, 5}
                            : std::pair{nice.first + 1, 1};
}

double value_of(const std::pair<int, int>& nice) { return nice.second * std::pow(10.0, nice.first); }

std::vector<Tick> ticks_by(const Axis& axis, double step) {
  std::vector<double> values;
  const double slack = 1e-9 * (axis.high - axis.low);
  auto i = static_cast<int64_t>(std::ceil((axis.low - slack) / step));
  for (; static_cast<double>(i) * step <= axis.high + slack; ++i) values.push_back(static_cast<double>(i) * step);
  const bool wide = std::ranges::any_of(values, [&](double v) { return fixed(v, step).size() > kMostColumns; });
  std::vector<Tick> out;
  for (const double value : values) {
    out.push_back({axis.place(value), wide ? scientific(value, step) : fixed(value, step)});
  }
  return out;
}

std::vector<Tick> linear_ticks(const Axis& axis, Side side) {
  auto step = nice_below((axis.high - axis.low) / 20);
  std::vector<Tick> best = ticks_by(axis, value_of(step));
  while (!labels_apart(best, side)) {
    next_nice(step);
    std::vector<Tick> fewer = ticks_by(axis, value_of(step));
    if (fewer.size() < 3) break;
    best = std::move(fewer);
  }
  return best;
}

// `every`: powers of ten between ticks; 0: 2 and 5 of each too.
std::vector<Tick> ticks_of_powers(const Axis& axis, int every) {
  std::vector<Tick> out;
  const int last = static_cast<int>(axis.high);
  for (int power = static_cast<int>(axis.low); power <= last; power += std::max(1, every)) {
    for (const int times : {1, 2, 5}) {
      if (times > 1 && (every > 0 || power == last)) continue;
      const double unit = std::pow(10.0, power);
      const bool small = power < -4 || power > 4;
      out.push_back({axis.place(times * unit), small ? scientific(times * unit, unit) : fixed(times * unit, unit)});
    }
  }
  return out;
}

std::vector<Tick> logarithmic_ticks(const Axis& axis, Side side) {
  std::vector<Tick> best = ticks_of_powers(axis, 0);
  for (int every = 1; !labels_apart(best, side); ++every) {
    std::vector<Tick> fewer = ticks_of_powers(axis, every);
    if (fewer.size() < 3) break;
    best = std::move(fewer);
  }
  return best;
}

}  // namespace

double Axis::place(double value) const {
  if (!logarithmic) return (value - low) / (high - low);
  return (std::log10(std::max(value, kSmallest)) - low) / (high - low);
}

std::vector<Tick> Axis::ticks(Side side) const {
  return logarithmic ? logarithmic_ticks(*this, side) : linear_ticks(*this, side);
}

bool labels_apart(const std::vector<Tick>& ticks, Side side) {
  for (size_t i = 1; i < ticks.size(); ++i) {
    if (!apart(ticks[i - 1], ticks[i], side)) return false;
  }
  return true;
}

int64_t whole_step(int64_t count, int64_t most) {
  std::pair<int, int> step{0, 1};
  while (count > most * static_cast<int64_t>(value_of(step))) next_nice(step);
  return static_cast<int64_t>(value_of(step));
}

Axis log_axis(const std::vector<double>& values) {
  double low = 1e9, high = kSmallest;
  for (const double value : values) {
    if (!std::isfinite(value)) continue;
    if (value > 0) low = std::min(low, value);
    high = std::max(high, value);
  }
  low = std::clamp(low, kSmallest, high);
  Axis axis{std::floor(std::log10(low)), std::ceil(std::log10(high)), true};
  if (axis.high <= axis.low) axis.high = axis.low + 1;
  return axis;
}

Axis axis_from_zero(const std::vector<double>& values) {
  double most = 0;
  for (const double value : values) {
    if (std::isfinite(value)) most = std::max(most, value);
  }
  return {0, most > 0 ? 1.05 * most : 1, false};
}

Drawing::Drawing(std::string_view label) {
  out_ = fmt::format(R"(<svg viewBox="0 0 {} {}" role="img" aria-label="{}">)", kWidth, kHeight, html_escaped(label));
}

double Drawing::x(double at) { return kLeft + at * (kWidth - kLeft - kRight); }

double Drawing::y(double at) { return kHeight - kBottom - std::clamp(at, 0.0, 1.0) * (kHeight - kTop - kBottom); }

void Drawing::frame(const std::vector<Tick>& below, const std::vector<Tick>& left, std::string_view x_title,
                    std::string_view y_title) {
  for (const Tick& tick : left) {
    line(x(0), y(tick.at), x(1), y(tick.at), "grid");
    text(kLeft - 6, y(tick.at) + 4, tick.label, "end");
  }
  const Tick* written = nullptr;
  for (const Tick& tick : below) {
    if (tick.label.empty() || (written != nullptr && !apart(*written, tick, Side::below))) continue;
    text(x(tick.at), kHeight - kBottom + 16, tick.label, "middle");
    written = &tick;
  }
  line(x(0), y(0), x(1), y(0), "axis");
  text(x(0.5), kHeight - 8, x_title, "middle");
  out_ += fmt::format(R"svg(<text transform="translate(12 {:.1f}) rotate(-90)" text-anchor="middle">{}</text>)svg",
                      y(0.5), html_escaped(y_title));
}

void Drawing::line(double x1, double y1, double x2, double y2, std::string_view style) {
  out_ += fmt::format(R"(<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>)", style, x1, y1, x2, y2);
}

void Drawing::text(double at_x, double at_y, std::string_view words, std::string_view anchor) {
  out_ +=
      fmt::format(R"(<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>)", at_x, at_y, anchor, html_escaped(words));
}

void Drawing::curve(const std::vector<std::pair<double, double>>& points) {
  out_ += R"(<polyline class="curve" points=")";
  for (const auto& [px, py] : points) out_ += fmt::format("{:.1f},{:.1f} ", x(px), y(py));
  out_ += R"("/>)";
}

void Drawing::dot(double px, double py, std::string_view style, std::string_view words) {
  const int radius = style == "dot" ? 3 : style == "chosen" ? 6 : style == "hollow" ? 4 : 5;
  out_ += fmt::format(R"(<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{}"><title>{}</title></circle>)", style, x(px),
                      y(py), radius, html_escaped(words));
}

void Drawing::bar(double from, double to, double height, std::string_view words) {
  out_ +=
      fmt::format(R"(<rect class="bar" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}</title></rect>)",
                  x(from), y(height), x(to) - x(from), y(0) - y(height), html_escaped(words));
}

}  // namespace autoglm
