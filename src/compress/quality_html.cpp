#include <fmt/format.h>

#include "compress/quality_plots.h"
#include "compress/quality_words.h"
#include "compress/quality_writers.h"

namespace autoglm {
namespace {

constexpr std::string_view kStyle = R"(
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --soft: #667; --line: #d5d9df; --mark: #2563c9;
  --bad: #c62828; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e7eb; --paper: #14171a; --soft: #9aa4af; --line: #333a42; --mark: #6ea8ff; --bad: #ff7b72; }
}
body { margin: 0 auto; max-width: 60rem; padding: 1.5rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin-top: 2.2rem; }
p.note { color: var(--soft); }
p.fault { color: var(--bad); font-weight: 600; }
div.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .3rem .7rem .3rem 0; border-bottom: 1px solid var(--line);
  overflow-wrap: anywhere; }
figure { margin: 1.5rem 0; }
svg { width: 100%; max-width: 46rem; height: auto; font-size: 12px; }
svg text { fill: var(--soft); }
.grid { stroke: var(--line); } .axis { stroke: var(--soft); } .whisker { stroke: var(--ink); stroke-width: 1.5; }
.curve { fill: none; stroke: var(--mark); stroke-width: 2; } .dot, .bar { fill: var(--mark); }
.bar { opacity: .8; } .fault { fill: var(--bad); }
)";

void add_row(std::string& out, const std::vector<std::string>& cells, std::string_view tag) {
  out += "<tr>";
  for (const std::string& cell : cells) out += fmt::format("<{0}>{1}</{0}>", tag, html_escaped(cell));
  out += "</tr>\n";
}

void add_table(std::string& out, const ReportTable& table) {
  out += fmt::format("<h2>{}</h2>\n", html_escaped(table.title));
  if (!table.note.empty()) out += fmt::format("<p class=\"note\">{}</p>\n", html_escaped(table.note));
  out += "<div class=\"wide\"><table>\n<thead>";
  add_row(out, table.head, "th");
  out += "</thead>\n<tbody>";
  for (const auto& row : table.rows) add_row(out, row, "td");
  out += "</tbody>\n</table></div>\n";
}

}  // namespace

std::string quality_html(const QualityReport& report, Language language) {
  const std::string title = html_escaped(report_title(report, language));
  std::string out = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"{}\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
      "<title>{}</title>\n<style>{}</style>\n</head>\n<body>\n<h1>{}</h1>\n",
      language == Language::zh ? "zh" : "en", title, kStyle, title);
  for (const std::string& line : report_verdict(report, language)) {
    const bool fault = line.starts_with("FAULT") || line.starts_with("故障");
    out += fmt::format("<p{}>{}</p>\n", fault ? " class=\"fault\"" : "", html_escaped(line));
  }
  std::vector<ReportTable> tables = report_tables(report, language);
  for (size_t i = 0; i < tables.size(); ++i) {
    add_table(out, tables[i]);
    if (i != 0) continue;
    for (const ReportPlot& plot : report_plots(report, language)) {
      out += fmt::format("<figure><figcaption>{}</figcaption>{}</figure>\n", html_escaped(plot.title), plot.svg);
    }
  }
  out += fmt::format("<h2>{}</h2>\n<ul>\n", Text{"Method", "方法"}.in(language));
  for (const std::string& line : report_method(report, language)) {
    out += fmt::format("<li>{}</li>\n", html_escaped(line));
  }
  return out + "</ul>\n</body>\n</html>\n";
}

}  // namespace autoglm
