#include "compress/report_format.h"

#include <fmt/format.h>

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
/* On a narrow page a plot keeps a size at which its words can be read, and is moved. */
figure { margin: 1.5rem 0; overflow-x: auto; }
svg { width: 100%; min-width: 30rem; max-width: 46rem; height: auto; font-size: 12px; }
svg text { fill: var(--soft); }
.limit { stroke: var(--bad); stroke-dasharray: 5 4; }
.grid { stroke: var(--line); } .axis { stroke: var(--soft); } .whisker { stroke: var(--ink); stroke-width: 1.5; }
.curve { fill: none; stroke: var(--mark); stroke-width: 2; } .dot, .bar { fill: var(--mark); }
.bar { opacity: .8; } .fault { fill: var(--bad); }
.hollow { fill: none; stroke: var(--mark); stroke-width: 1.5; }
.chosen { fill: var(--mark); stroke: var(--ink); stroke-width: 2; }
pre { overflow-x: auto; border: 1px solid var(--line); padding: .6rem .8rem; }
)";

void html_row(std::string& out, const std::vector<std::string>& cells, std::string_view tag) {
  out += "<tr>";
  for (const std::string& cell : cells) out += fmt::format("<{0}>{1}</{0}>", tag, html_escaped(cell));
  out += "</tr>\n";
}

void markdown_row(std::string& out, const std::vector<std::string>& cells) {
  out += '|';
  for (const std::string& text : cells) out += ' ' + markdown_text(text) + " |";
  out += '\n';
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

std::string html_table(const ReportTable& table) {
  std::string out = fmt::format("<h2>{}</h2>\n", html_escaped(table.title));
  if (!table.note.empty()) out += fmt::format("<p class=\"note\">{}</p>\n", html_escaped(table.note));
  out += "<div class=\"wide\"><table>\n<thead>";
  html_row(out, table.head, "th");
  out += "</thead>\n<tbody>";
  for (const auto& row : table.rows) html_row(out, row, "td");
  return out + "</tbody>\n</table></div>\n";
}

std::string html_plot(const ReportPlot& plot) {
  return fmt::format("<figure><figcaption>{}</figcaption>{}</figure>\n", html_escaped(plot.title), plot.svg);
}

std::string html_page(const std::string& title, Language language, const std::string& body) {
  const std::string escaped = html_escaped(title);
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"{}\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
      "<title>{}</title>\n<style>{}</style>\n</head>\n<body>\n<h1>{}</h1>\n{}</body>\n</html>\n",
      language == Language::zh ? "zh" : "en", escaped, kStyle, escaped, body);
}

std::string markdown_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '<') {
      out += "&lt;";
    } else if (c == '&') {
      out += "&amp;";
    } else if (c == '\n' || c == '\r') {
      out += ' ';
    } else if (std::string_view("|*_`[]\\#~$!>").find(c) != std::string_view::npos) {
      out += '\\';
      out += c;
    } else {
      out += c;
    }
  }
  return out.empty() ? " " : out;
}

std::string markdown_table(const ReportTable& table) {
  std::string out = fmt::format("\n## {}\n\n", markdown_text(table.title));
  if (!table.note.empty()) out += markdown_text(table.note) + "\n\n";
  markdown_row(out, table.head);
  out += '|';
  for (size_t i = 0; i < table.head.size(); ++i) out += " --- |";
  out += '\n';
  for (const auto& row : table.rows) markdown_row(out, row);
  return out;
}

}  // namespace autoglm
