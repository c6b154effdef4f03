// The words of a quality report in two languages, for Markdown and HTML alike.
#pragma once

#include <string>
#include <vector>

#include "compress/quality_writers.h"
#include "compress/report_format.h"

namespace autoglm {

/// "Quality report: B against A".
std::string report_title(const QualityReport& report, Language language);

/// What a reader should know first: a sentence each.
std::vector<std::string> report_verdict(const QualityReport& report, Language language);

/// All tables in the order of the report; those without rows are left out.
std::vector<ReportTable> report_tables(const QualityReport& report, Language language);

/// "only 200 tokens were scored: ...": no capital, no full stop.
std::string warning_text(const QualityWarning& warning, Language language);

/// How the figures came about: a sentence each.
std::vector<std::string> report_method(const QualityReport& report, Language language);

/// "0.0123", "1.23e-05": for figures that span many sizes.
std::string small_number(double value);

}  // namespace autoglm
