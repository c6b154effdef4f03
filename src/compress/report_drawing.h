// Plots of reports as SVG, drawn with the colours of the page they stand in.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace autoglm {

struct Tick {
  double at = 0;  // 0 to 1 along the axis
  std::string label;
};

/// Where an axis lies, and so how much room its labels take: their width below a plot, their height beside it.
enum class Side : uint8_t { below, left };

/// A value axis from `low` to `high`.
struct Axis {
  double low = 0, high = 1;  // logarithmic: powers of ten, whole numbers
  bool logarithmic = false;
  double place(double value) const;  // 0 to 1
  /// Three ticks or more, at multiples of 1, 2 or 5 x 10^n (logarithmic: at 1, 2 and 5 of each power of ten, or at
  /// powers alone), as many as have room for their labels.
  std::vector<Tick> ticks(Side side) const;
};

/// Values that are not finite are left out, as 0 is from a logarithmic axis.
Axis log_axis(const std::vector<double>& values);
Axis axis_from_zero(const std::vector<double>& values);

/// 1, 2 or 5 x 10^n: the smallest with which `count` things, or every so many of them, are at most `most`.
int64_t whole_step(int64_t count, int64_t most);

/// Whether labels stand apart; `ticks` ascend.
bool labels_apart(const std::vector<Tick>& ticks, Side side);

/// One plot being drawn. Places are 0 to 1 along the axes.
class Drawing {
 public:
  explicit Drawing(std::string_view label);
  static double x(double at);  // in SVG units
  static double y(double at);
  /// Of labels below that would touch, only the first is written.
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
