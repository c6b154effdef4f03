// The words of an optimize report in two languages, for Markdown, HTML and the terminal alike.
#pragma once

#include <string>
#include <vector>

#include "base/language.h"
#include "compress/report_format.h"
#include "optimize/report.h"

namespace autoglm {

/// What a report says, part by part, in the order in which it says it.
struct OptimizeWords {
  std::string title;
  std::vector<std::string> verdict;  // a sentence each
  ReportTable summary;               // before, after, change
  std::vector<ReportPlot> plots;
  std::vector<ReportTable> tables;  // settings, forms, what was tried, quality, stages, texts
  std::vector<std::string> method;  // how the figures came about
  std::vector<std::string> undo;
  std::string undo_title, method_title, recipe_title;
  std::string recipe;  // of the chosen form, YAML; empty: none
};

OptimizeWords optimize_words(const OptimizeReport& report, Language language);

/// Forms by size and divergence, with the chosen one marked.
std::vector<ReportPlot> optimize_plots(const OptimizeReport& report, Language language);

/// "12.3 ms", "1.2 s".
std::string milliseconds_text(double ms);

}  // namespace autoglm
