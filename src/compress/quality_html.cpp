#include <fmt/format.h>

#include "compress/quality_plots.h"
#include "compress/quality_words.h"
#include "compress/quality_writers.h"

namespace autoglm {

std::string quality_html(const QualityReport& report, Language language) {
  std::string body;
  for (const std::string& line : report_verdict(report, language)) {
    const bool fault = line.starts_with("FAULT") || line.starts_with("故障");
    body += fmt::format("<p{}>{}</p>\n", fault ? " class=\"fault\"" : "", html_escaped(line));
  }
  std::vector<ReportTable> tables = report_tables(report, language);
  for (size_t i = 0; i < tables.size(); ++i) {
    body += html_table(tables[i]);
    if (i != 0) continue;
    for (const ReportPlot& plot : report_plots(report, language)) body += html_plot(plot);
  }
  body += fmt::format("<h2>{}</h2>\n<ul>\n", Text{"Method", "方法"}.in(language));
  for (const std::string& line : report_method(report, language)) {
    body += fmt::format("<li>{}</li>\n", html_escaped(line));
  }
  return html_page(report_title(report, language), language, body + "</ul>\n");
}

}  // namespace autoglm
