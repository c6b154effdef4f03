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

}  // namespace

double Axis::place(double value) const {
  if (!logarithmic) return (value - low) / (high - low);
  return (std::log10(std::max(value, kSmallest)) - low) / (high - low);
}

std::vector<Tick> Axis::ticks() const {
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
  for (const Tick& tick : below) text(x(tick.at), kHeight - kBottom + 16, tick.label, "middle");
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
