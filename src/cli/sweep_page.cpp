#include "cli/sweep_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/ledger.h"
#include "compress/report_drawing.h"
#include "compress/report_format.h"

namespace autoglm {
namespace {

std::string say(Language language, std::string_view en, std::string_view zh) {
  return std::string(Text{en, zh}.in(language));
}

std::string axis_of(SweepOver over, Language language) {
  if (over == SweepOver::batch) return say(language, "sequences", "序列数");
  return over == SweepOver::ctx ? say(language, "tokens in the cache", "缓存中的 token 数")
                                : say(language, "threads", "线程数");
}

std::string percent(double share) { return share > 0 ? fmt::format("{:.0f} %", 100 * share) : "-"; }

std::vector<std::string> head_of(const Sweep& sweep, Language language) {
  return {axis_of(sweep.over, language),
          say(language, "decode tok/s", "解码 token/s"),
          say(language, "gap p50 ms", "间隔 p50 ms"),
          say(language, "gap p99 ms", "间隔 p99 ms"),
          say(language, "of reads", "占读带宽"),
          say(language, "prefill tok/s", "预填充 token/s"),
          say(language, "of arithmetic", "占算力"),
          say(language, "peak memory", "峰值内存"),
          ""};
}

std::vector<std::string> row_of(const Sweep& sweep, size_t i, Language language) {
  const SweepPoint& p = sweep.points[i];
  return {fmt::format("{}", p.at),
          fmt::format("{:.1f}", p.decode_tps),
          fmt::format("{:.2f}", p.step_ms),
          fmt::format("{:.2f}", p.step_ms_p99),
          percent(p.decode_roof_share),
          fmt::format("{:.0f}", p.prefill_tps),
          percent(p.prefill_roof_share),
          format_bytes(p.peak_rss_bytes),
          sweep.knee == i ? say(language, "knee", "拐点") : ""};
}

/// One figure over the sweep, from zero, the knee marked.
ReportPlot plot(const Sweep& sweep, Language language, const std::string& title, double SweepPoint::* figure) {
  std::vector<double> values;
  for (const SweepPoint& point : sweep.points) values.push_back(point.*figure);
  const Axis up = axis_from_zero(values);
  const auto scale = [&](const SweepPoint& point) {
    return sweep.over == SweepOver::ctx ? static_cast<double>(point.at) : std::log2(static_cast<double>(point.at));
  };
  const double first = scale(sweep.points.front()), width = std::max(scale(sweep.points.back()) - first, 1e-9);
  const auto across = [&](const SweepPoint& point) { return (scale(point) - first) / width; };
  std::vector<Tick> below;
  std::vector<std::pair<double, double>> curve;
  for (const SweepPoint& point : sweep.points) {
    curve.emplace_back(across(point), up.place(point.*figure));
    below.push_back({across(point), fmt::format("{}", point.at)});
  }
  Drawing drawing(title);
  drawing.frame(below, up.ticks(Side::left), axis_of(sweep.over, language), "");
  drawing.curve(curve);
  for (size_t i = 0; i < sweep.points.size(); ++i) {
    const bool knee = sweep.knee == i;
    drawing.dot(
        curve[i].first, curve[i].second, knee ? "chosen" : "dot",
        fmt::format("{}: {:.4g}{}", sweep.points[i].at, values[i], knee ? say(language, " (knee)", "（拐点）") : ""));
  }
  return {title, drawing.finish()};
}

}  // namespace

std::string sweep_text(const Sweep& sweep, Language language) {
  std::string text;
  const auto add = [&](const std::vector<std::string>& cells) {
    for (const std::string& cell : cells) text += fmt::format("{:>20}", cell);
    text.erase(text.find_last_not_of(' ') + 1);
    text += "\n";
  };
  add(head_of(sweep, language));
  for (size_t i = 0; i < sweep.points.size(); ++i) add(row_of(sweep, i, language));
  if (!sweep.ended.empty()) text += sweep.ended + "\n";
  return text + "\n";
}

std::string sweep_page(const std::vector<Sweep>& sweeps, const std::string& model, const std::string& machine,
                       Language language) {
  std::string body = fmt::format("<p>{}</p>\n", html_escaped(machine));
  for (const Sweep& sweep : sweeps) {
    ReportTable table{
        .title = axis_of(sweep.over, language), .note = sweep.ended, .head = head_of(sweep, language), .rows = {}};
    for (size_t i = 0; i < sweep.points.size(); ++i) table.rows.push_back(row_of(sweep, i, language));
    body += html_table(table);
    body += html_plot(plot(sweep, language, say(language, "decode, tokens a second", "解码，每秒 token 数"),
                           &SweepPoint::decode_tps));
    body +=
        html_plot(sweep.over == SweepOver::batch
                      ? plot(sweep, language, say(language, "gap p99, ms", "间隔 p99，毫秒"), &SweepPoint::step_ms_p99)
                      : plot(sweep, language, say(language, "prefill, tokens a second", "预填充，每秒 token 数"),
                             &SweepPoint::prefill_tps));
  }
  return html_page("autoglm bench --sweep: " + model, language, body);
}

}  // namespace autoglm
