// Plots of reports as SVG, drawn with the colours of the page they stand in.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace autoglm {

struct Tick {
  double at = 0;  // 0 to 1 along the axis
  std::string label;
};

/// A value axis from `low` to `high`.
struct Axis {
  double low = 0, high = 1;  // logarithmic: powers of ten
  bool logarithmic = false;
  double place(double value) const;  // 0 to 1
  std::vector<Tick> ticks() const;
};

Axis log_axis(const std::vector<double>& values);
Axis axis_from_zero(const std::vector<double>& values);

/// One plot being drawn. Places are 0 to 1 along the axes.
class Drawing {
 public:
  explicit Drawing(std::string_view label);
  static double x(double at);  // in SVG units
  static double y(double at);
  void frame(const std::vector<Tick>& below, const std::vector<Tick>& left, std::string_view x_title,
             std::string_view y_title);
  void line(double x1, double y1, double x2, double y2, std::string_view style);         // SVG units
  void text(double at_x, double at_y, std::string_view words, std::string_view anchor);  // SVG units
  void curve(const std::vector<std::pair<double, double>>& points);
  /// `style`: dot, fault, hollow or chosen.
  void dot(double px, double py, std::string_view style, std::string_view words);
  void bar(double from, double to, double height, std::string_view words);
  std::string finish() { return std::move(out_) + "</svg>"; }

 private:
  std::string out_;
};

}  // namespace autoglm
