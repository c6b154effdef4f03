#include <fmt/format.h>

#include "compress/quality_words.h"
#include "compress/quality_writers.h"

namespace autoglm {
namespace {

// Text inside a table's cell: what Markdown or HTML would take for marks is escaped.
std::string cell(std::string_view text) {
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

void add_row(std::string& out, const std::vector<std::string>& cells) {
  out += '|';
  for (const std::string& text : cells) out += ' ' + cell(text) + " |";
  out += '\n';
}

void add_table(std::string& out, const ReportTable& table) {
  out += fmt::format("\n## {}\n\n", cell(table.title));
  if (!table.note.empty()) out += cell(table.note) + "\n\n";
  add_row(out, table.head);
  out += '|';
  for (size_t i = 0; i < table.head.size(); ++i) out += " --- |";
  out += '\n';
  for (const auto& row : table.rows) add_row(out, row);
}

}  // namespace

std::string quality_markdown(const QualityReport& report, Language language) {
  std::string out = fmt::format("# {}\n", cell(report_title(report, language)));
  for (const std::string& line : report_verdict(report, language)) out += '\n' + cell(line) + '\n';
  for (const ReportTable& table : report_tables(report, language)) add_table(out, table);
  out += fmt::format("\n## {}\n\n", Text{"Method", "方法"}.in(language));
  for (const std::string& line : report_method(report, language)) out += fmt::format("- {}\n", cell(line));
  return out;
}

}  // namespace autoglm
