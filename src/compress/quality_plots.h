// Plots of a quality report as SVG, drawn with the colours of the page they stand in.
#pragma once

#include <string>
#include <vector>

#include "base/language.h"
#include "compress/quality_report.h"
#include "compress/report_format.h"

namespace autoglm {

/// Distribution of divergences; by position, by kind and by window; errors of tensors by layer. Those with nothing to
/// show are left out.
std::vector<ReportPlot> report_plots(const QualityReport& report, Language language);

}  // namespace autoglm
