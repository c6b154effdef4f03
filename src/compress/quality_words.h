// The words of a quality report in two languages, for Markdown and HTML alike.
#pragma once

#include <string>
#include <vector>

#include "compress/quality_writers.h"

namespace autoglm {

/// A table of a report: the first column holds names, the others figures. Plain text, not escaped.
struct ReportTable {
  std::string title;
  std::string note;  // a sentence below the title; may be empty
  std::vector<std::string> head;
  std::vector<std::vector<std::string>> rows;
};

/// "Quality report: B against A".
std::string report_title(const QualityReport& report, Language language);

/// What a reader should know first: a sentence each.
std::vector<std::string> report_verdict(const QualityReport& report, Language language);

/// All tables in the order of the report; those without rows are left out.
std::vector<ReportTable> report_tables(const QualityReport& report, Language language);

/// How the figures came about: a sentence each.
std::vector<std::string> report_method(const QualityReport& report, Language language);

/// "0.0123", "1.23e-05": for figures that span many sizes.
std::string small_number(double value);

}  // namespace autoglm
