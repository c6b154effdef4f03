// Plots of a quality report as SVG, drawn with the colours of the page they stand in.
#pragma once

#include <string>
#include <vector>

#include "base/language.h"
#include "compress/quality_report.h"

namespace autoglm {

struct ReportPlot {
  std::string title;
  std::string svg;
};

/// Distribution of divergences; by position, by kind and by window; errors of tensors by layer. Those with nothing to
/// show are left out.
std::vector<ReportPlot> report_plots(const QualityReport& report, Language language);

/// For text and attribute values of HTML and SVG. Control characters, which they cannot hold, become U+FFFD.
std::string html_escaped(std::string_view text);

}  // namespace autoglm
