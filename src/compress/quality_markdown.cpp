#include <fmt/format.h>

#include "compress/quality_words.h"
#include "compress/quality_writers.h"

namespace autoglm {

std::string quality_markdown(const QualityReport& report, Language language) {
  std::string out = fmt::format("# {}\n", markdown_text(report_title(report, language)));
  for (const std::string& line : report_verdict(report, language)) out += '\n' + markdown_text(line) + '\n';
  for (const ReportTable& table : report_tables(report, language)) out += markdown_table(table);
  out += fmt::format("\n## {}\n\n", Text{"Method", "方法"}.in(language));
  for (const std::string& line : report_method(report, language)) out += fmt::format("- {}\n", markdown_text(line));
  return out;
}

}  // namespace autoglm
