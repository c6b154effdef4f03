#include "cli/sweep_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/ledger.h"
#include "compress/quality_plots.h"

namespace autoglm {
namespace {

constexpr std::string_view kStyle = R"(
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --soft: #667; --line: #d5d9df; --mark: #2563c9;
  --knee: #c62828; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e7eb; --paper: #14171a; --soft: #9aa4af; --line: #333a42; --mark: #6ea8ff; --knee: #ff7b72; }
}
body { margin: 0 auto; max-width: 60rem; padding: 1.5rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
p.note { color: var(--soft); }
div.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .3rem .7rem .3rem 0; border-bottom: 1px solid var(--line); }
figure { margin: 1.5rem 0; }
svg { width: 100%; max-width: 46rem; height: auto; font-size: 12px; }
svg text { fill: var(--soft); }
.grid { stroke: var(--line); } .curve { fill: none; stroke: var(--mark); stroke-width: 2; } .dot { fill: var(--mark); }
.knee { fill: var(--knee); }
)";

// In SVG units; the page scales them.
constexpr double kWidth = 640, kHeight = 240, kLeft = 64, kRight = 16, kTop = 12, kBottom = 44;
double x_of(double at) { return kLeft + at * (kWidth - kLeft - kRight); }
double y_of(double at) { return kHeight - kBottom - at * (kHeight - kTop - kBottom); }

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

std::string html_row(const std::vector<std::string>& cells, std::string_view tag) {
  std::string out = "<tr>";
  for (const std::string& cell : cells) out += fmt::format("<{0}>{1}</{0}>", tag, html_escaped(cell));
  return out + "</tr>\n";
}

/// One figure over the sweep, from zero, the knee marked.
std::string plot(const Sweep& sweep, Language language, const std::string& title, double SweepPoint::* figure) {
  double most = 0;
  for (const SweepPoint& point : sweep.points) most = std::max(most, point.*figure);
  if (!(most > 0)) most = 1;
  const auto scale = [&](const SweepPoint& point) {
    return sweep.over == SweepOver::ctx ? static_cast<double>(point.at) : std::log2(static_cast<double>(point.at));
  };
  const double first = scale(sweep.points.front()), width = std::max(scale(sweep.points.back()) - first, 1e-9);
  std::string out =
      fmt::format(R"(<figure><figcaption>{0}</figcaption><svg viewBox="0 0 {1} {2}" role="img" aria-label="{0}">)",
                  html_escaped(title), kWidth, kHeight);
  for (int i = 0; i <= 4; ++i) {
    const double at = y_of(i / 4.0);
    out += fmt::format(R"(<line class="grid" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>)", x_of(0), at, x_of(1),
                       at);
    out +=
        fmt::format(R"(<text x="{:.1f}" y="{:.1f}" text-anchor="end">{:.3g}</text>)", kLeft - 6, at + 4, most * i / 4);
  }
  std::string curve, dots;
  double labelled = -1;
  for (size_t i = 0; i < sweep.points.size(); ++i) {
    const SweepPoint& point = sweep.points[i];
    const double across = (scale(point) - first) / width;
    const double px = x_of(across), py = y_of(point.*figure / most);
    curve += fmt::format("{:.1f},{:.1f} ", px, py);
    const bool knee = sweep.knee == i;
    dots += fmt::format(R"(<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{}"><title>{}: {:.4g}{}</title></circle>)",
                        knee ? "knee" : "dot", px, py, knee ? 6 : 3, point.at, point.*figure,
                        knee ? say(language, " (knee)", "（拐点）") : "");
    if (across - labelled < 0.05) continue;  // labels would overlap
    labelled = across;
    out += fmt::format(R"(<text x="{:.1f}" y="{:.1f}" text-anchor="middle">{}</text>)", px, kHeight - kBottom + 16,
                       point.at);
  }
  out += fmt::format(R"(<text x="{:.1f}" y="{:.1f}" text-anchor="middle">{}</text>)", x_of(0.5), kHeight - 8,
                     html_escaped(axis_of(sweep.over, language)));
  return out + fmt::format(R"(<polyline class="curve" points="{}"/>{}</svg></figure>)", curve, dots) + "\n";
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
  const std::string title = html_escaped("autoglm bench --sweep: " + model);
  std::string out = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"{}\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
      "<title>{}</title>\n<style>{}</style>\n</head>\n<body>\n<h1>{}</h1>\n<p class=\"note\">{}</p>\n",
      language == Language::zh ? "zh" : "en", title, kStyle, title, html_escaped(machine));
  for (const Sweep& sweep : sweeps) {
    out += fmt::format("<h2>{}</h2>\n<div class=\"wide\"><table>\n", html_escaped(axis_of(sweep.over, language)));
    out += html_row(head_of(sweep, language), "th");
    for (size_t i = 0; i < sweep.points.size(); ++i) out += html_row(row_of(sweep, i, language), "td");
    out += "</table></div>\n";
    if (!sweep.ended.empty()) out += fmt::format("<p class=\"note\">{}</p>\n", html_escaped(sweep.ended));
    out +=
        plot(sweep, language, say(language, "decode, tokens a second", "解码，每秒 token 数"), &SweepPoint::decode_tps);
    out += sweep.over == SweepOver::batch
               ? plot(sweep, language, say(language, "gap p99, ms", "间隔 p99，毫秒"), &SweepPoint::step_ms_p99)
               : plot(sweep, language, say(language, "prefill, tokens a second", "预填充，每秒 token 数"),
                      &SweepPoint::prefill_tps);
  }
  return out + "</body>\n</html>\n";
}

}  // namespace autoglm
