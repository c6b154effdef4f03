#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/ledger.h"
#include "compress/quality_words.h"
#include "compress/report_drawing.h"
#include "optimize/words.h"

namespace autoglm {
namespace {

struct Point {
  double x = 0;
  double kld = 0;
  std::string_view style;
  std::string words;
};

/// Points by a figure below and the divergence beside, with the limits as lines.
std::string scatter(const std::vector<Point>& points, double limit_x, double limit_kld, const std::string& title,
                    std::string_view x_title, std::string_view y_title) {
  std::vector<double> xs, klds;
  for (const Point& point : points) {
    xs.push_back(point.x);
    klds.push_back(point.kld);
  }
  klds.push_back(limit_kld);
  const Axis across = axis_from_zero(xs);
  const Axis up = log_axis(klds);
  Drawing plot(title);
  plot.frame(across.ticks(Side::below), up.ticks(Side::left), x_title, y_title);
  const double at = Drawing::y(up.place(limit_kld));
  plot.line(Drawing::x(0), at, Drawing::x(1), at, "limit");
  if (limit_x > 0 && limit_x < across.high) {
    const double place = Drawing::x(across.place(limit_x));
    plot.line(place, Drawing::y(0), place, Drawing::y(1), "limit");
  }
  std::vector<std::pair<double, double>> curve;
  for (const Point& point : points) {
    if (point.style != "fault") curve.emplace_back(across.place(point.x), up.place(point.kld));
  }
  std::ranges::sort(curve);
  plot.curve(curve);
  for (const Point& point : points) {
    plot.dot(across.place(point.x), up.place(point.kld), point.style, point.words);
  }
  return plot.finish();
}

}  // namespace

std::vector<ReportPlot> optimize_plots(const OptimizeReport& r, Language language) {
  const bool zh = language == Language::zh;
  if (r.forms.empty() || !r.before.quality) return {};
  std::vector<ModelForm> forms;
  for (const FormRecord& form : r.forms) forms.push_back(form.form);
  const std::vector<FormFigures> figures = estimate(forms);
  constexpr double kMiB = 1024.0 * 1024.0;
  std::vector<Point> by_size, by_time;
  const auto add = [&](const FormFigures& f, std::string_view style, const std::string& name) {
    const std::string words =
        fmt::format("{}: {}, KLD {}, {}", name, format_bytes(f.bytes), small_number(f.kld), milliseconds_text(f.ms));
    by_size.push_back({static_cast<double>(f.bytes) / kMiB, f.kld, style, words});
    by_time.push_back({f.ms, f.kld, style, words});
  };
  for (size_t i = 0; i < r.forms.size(); ++i) {
    const bool measured = r.forms[i].form.measured.has_value();
    const std::string_view style = r.forms[i].form.damaged ? "fault"
                                   : r.chosen == i         ? "chosen"
                                   : measured              ? "dot"
                                                           : "hollow";
    add(figures[i], style, r.forms[i].name);
  }
  FormFigures source;
  source.bytes = r.before.file_bytes;
  source.ms = r.before.run.end_to_end_ms.p50;
  source.kld = r.before.quality->kld_mean;
  add(source, r.chosen ? "dot" : "chosen", r.source);
  const std::string y_title = zh ? "平均 KL 散度" : "mean KL divergence";
  std::vector<ReportPlot> out;
  std::string title = zh ? "大小与质量（空心：预测；实心：测量；带圈：选中；虚线：限制）"
                         : "Size and quality (hollow: predicted; solid: measured; ringed: chosen; dashed: limits)";
  out.push_back({title, scatter(by_size, static_cast<double>(r.limits.max_bytes) / kMiB, r.limits.max_kld, title,
                                zh ? "文件，MiB" : "file, MiB", y_title)});
  title = zh ? "时间与质量" : "Time and quality";
  out.push_back({title, scatter(by_time, 0, r.limits.max_kld, title,
                                zh ? "一个请求的端到端时间，毫秒" : "a request end to end, ms", y_title)});
  return out;
}

}  // namespace autoglm
