// How reports look: tables, plots and pages of the quality report and of `optimize`, in Markdown and HTML.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/language.h"

namespace autoglm {

/// A table of a report: the first column holds names, the others figures. Plain text, not escaped.
struct ReportTable {
  std::string title;
  std::string note;  // a sentence below the title; may be empty
  std::vector<std::string> head;
  std::vector<std::vector<std::string>> rows;
};

struct ReportPlot {
  std::string title;
  std::string svg;
};

/// For text and attribute values of HTML and SVG. Control characters, which they cannot hold, become U+FFFD.
std::string html_escaped(std::string_view text);

/// With its title as a heading.
std::string html_table(const ReportTable& table);
std::string html_plot(const ReportPlot& plot);
/// A page without outside resources around a body; colours follow the reader's light or dark setting.
std::string html_page(const std::string& title, Language language, const std::string& body);

/// Plain text for a paragraph or a cell: whatever Markdown or HTML would take for marks is escaped.
std::string markdown_text(std::string_view text);
/// With its title as a heading.
std::string markdown_table(const ReportTable& table);

}  // namespace autoglm
