// A quality report as a file: JSON for programs, Markdown and one HTML page for people.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/language.h"
#include "compress/quality_report.h"

namespace autoglm {

/// By docs/quality_report.schema.json; "schema_version" is QualityReport::kSchemaVersion. English.
nlohmann::json quality_json(const QualityReport& report);

std::string quality_markdown(const QualityReport& report, Language language);

/// One page without outside resources: plots are SVG inside it, colours follow the reader's light or dark setting.
/// Whatever comes from a model or a text is escaped.
std::string quality_html(const QualityReport& report, Language language);

/// What a fault is, in words: "scaled by 2.00".
std::string fault_text(const TensorFault& fault, Language language);

/// Writes `out`.json, .md or .html by its ending; for any other name a folder with report.json, report.md and
/// report.html, which is made if its parent is there. Each file appears when it is whole. Returns what was written.
/// Errors: those of OutputFile.
std::vector<std::filesystem::path> write_quality_report(const QualityReport& report, const std::filesystem::path& out,
                                                        Language language);

/// Refuses early what write_quality_report() could not write: errors of check_output().
void check_quality_output(const std::filesystem::path& out);

}  // namespace autoglm
