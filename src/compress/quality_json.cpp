#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/output_file.h"
#include "compress/quality_words.h"
#include "compress/quality_writers.h"

namespace autoglm {
namespace {

using Json = nlohmann::json;

Json interval(const Interval& value) { return Json::array({value.low, value.high}); }

Json summary(const DivergenceSummary& s) {
  return {{"tokens", s.tokens},
          {"kld_mean", s.kld_mean},
          {"kld_mean_ci", interval(s.kld_mean_ci)},
          {"kld_median", s.kld_median},
          {"kld_p90", s.kld_p90},
          {"kld_p99", s.kld_p99},
          {"kld_max", s.kld_max},
          {"top1_agreement", s.top1_agreement},
          {"top5_agreement", s.top5_agreement},
          {"ppl_a", s.ppl_a},
          {"ppl_b", s.ppl_b},
          {"ppl_ratio", s.ppl_ratio},
          {"ppl_ratio_ci", interval(s.ppl_ratio_ci)}};
}

Json groups(const std::vector<QualityGroup>& list) {
  Json out = Json::array();
  for (const QualityGroup& group : list) {
    Json one = summary(group.figures);
    one["name"] = group.name;
    out.push_back(std::move(one));
  }
  return out;
}

Json side(const SideFigures& s) {
  Json types = Json::array();
  for (const auto& [type, bytes] : s.types) types.push_back({{"type", type}, {"bytes", bytes}});
  return {{"name", s.name},
          {"arch", s.architecture},
          {"precision", s.precision},
          {"kv_type", s.kv_type},
          {"parameters", s.parameters},
          {"weight_bytes", s.weight_bytes},
          {"file_bytes", s.file_bytes},
          {"bits_per_weight", s.bits_per_weight},
          {"planned_bytes", s.planned_bytes},
          {"prefill_tps", s.prefill_tps},
          {"decode_tps", s.decode_tps ? Json(*s.decode_tps) : Json()},
          {"types", std::move(types)},
          {"scaling", s.scaling.empty() ? Json() : Json(s.scaling)}};
}

Json fault(const std::optional<TensorFault>& f) {
  if (!f) return nullptr;
  Json out = {{"kind", name(f->kind)}, {"text", fault_text(*f, Language::en)}};
  if (f->kind == TensorFaultKind::scaled || f->kind == TensorFaultKind::blocks) out["factor"] = f->factor;
  if (f->kind == TensorFaultKind::swapped) out["other"] = f->other;
  if (f->kind == TensorFaultKind::blocks) {
    out["blocks"] = f->blocks;
    out["row"] = f->row;
    out["column"] = f->column;
  }
  return out;
}

Json tensors(const TensorComparison& comparison) {
  Json list = Json::array();
  for (const size_t index : comparison.worst()) {
    const TensorFigures& t = comparison.tensors[index];
    list.push_back({{"name", t.name},
                    {"layer", t.layer >= 0 ? Json(t.layer) : Json()},
                    {"role", t.role},
                    {"type_a", t.type_a},
                    {"type_b", t.type_b},
                    {"values", t.values},
                    {"relative_error", t.relative_error},
                    {"cosine", t.cosine},
                    {"factor", t.factor},
                    {"worst_block", t.worst_block},
                    {"fault", fault(t.fault)}});
  }
  return list;
}

Json token(const ScoredToken& t) {
  return {{"id", t.id}, {"text", t.text}, {"probability_a", t.probability_a}, {"probability_b", t.probability_b}};
}

Json partings(const std::vector<Parting>& list) {
  Json out = Json::array();
  for (const Parting& p : list) {
    out.push_back({{"text", p.source},
                   {"kind", p.kind},
                   {"window", p.window},
                   {"position", p.position},
                   {"kld", p.kld},
                   {"context", p.context},
                   {"expected", token(p.expected)},
                   {"choice_a", token(p.choice_a)},
                   {"choice_b", token(p.choice_b)}});
  }
  return out;
}

Json texts(const QualityReport& r) {
  Json list = Json::array();
  for (const TextFigures& t : r.texts) {
    list.push_back({{"name", t.name},
                    {"kind", t.kind},
                    {"sha256", t.sha256},
                    {"bytes", t.bytes},
                    {"tokens", t.tokens},
                    {"windows", t.windows}});
  }
  return list;
}

Json tasks(const std::optional<TaskFigures>& t) {
  if (!t) return nullptr;
  const auto count = static_cast<double>(t->count());
  return {{"tasks", t->count()},
          {"choice_tasks", t->choice_tasks},
          {"exact_tasks", t->exact_tasks},
          {"accuracy_a", static_cast<double>(t->right_a) / count},
          {"accuracy_b", static_cast<double>(t->right_b) / count},
          {"right_both", t->right_both},
          {"lost_lines", t->lost}};
}

void write_text(const std::filesystem::path& path, const std::string& text) {
  OutputFile file(path);
  file.write(std::as_bytes(std::span(text)));
  file.finish();
}

enum class Form : uint8_t { json, markdown, html };

std::string text_of(const QualityReport& report, Form form, Language language) {
  if (form == Form::markdown) return quality_markdown(report, language);
  if (form == Form::html) return quality_html(report, language);
  return quality_json(report).dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

struct Output {
  std::filesystem::path path;
  Form form;
};

std::vector<Output> outputs(const std::filesystem::path& out) {
  const std::string ending = out.extension().string();
  if (ending == ".json") return {{out, Form::json}};
  if (ending == ".md") return {{out, Form::markdown}};
  if (ending == ".html") return {{out, Form::html}};
  return {{out / "report.json", Form::json}, {out / "report.md", Form::markdown}, {out / "report.html", Form::html}};
}

}  // namespace

nlohmann::json quality_json(const QualityReport& r) {
  Json out = summary(r.total);
  out["schema_version"] = QualityReport::kSchemaVersion;
  out["a"] = side(r.a);
  out["b"] = side(r.b);
  out["vocabulary"] = r.vocabulary;
  out["windows"] = {
      {"tokens", r.window}, {"count", r.windows}, {"first_scored", r.first_scored}, {"last_scored", r.last_scored}};
  out["bootstrap"] = {{"seed", r.seed}, {"resamples", r.resamples}, {"resampled", r.resampled}};
  out["figures_bytes"] = r.memory_bytes;
  out["by_position"] = groups(r.by_position);
  out["by_kind"] = groups(r.by_kind);
  out["quantiles"] = Json::array();
  for (const QuantilePoint& point : r.quantiles) out["quantiles"].push_back({point.share, point.kld});
  out["kld_by_window"] = r.kld_by_window;
  out["tensors"] = tensors(r.tensors);
  out["faults"] = Json::array();
  for (const TensorFigures& t : r.tensors.tensors) {
    if (t.fault) out["faults"].push_back(t.name);
  }
  out["only_in_a"] = r.tensors.only_a;
  out["only_in_b"] = r.tensors.only_b;
  out["other_shape"] = r.tensors.other_shape;
  out["partings"] = partings(r.partings);
  out["tasks"] = tasks(r.tasks);
  out["texts"] = texts(r);
  out["calibration"] = {{"sha256", r.calibration_sha256.empty() ? Json() : Json(r.calibration_sha256)},
                        {"overlap", r.calibration_overlap}};
  out["warnings"] = nlohmann::json::array();
  for (const QualityWarning& warning : r.warnings) out["warnings"].push_back(warning_text(warning, Language::en));
  return out;
}

void check_quality_output(const std::filesystem::path& out) {
  const std::vector<Output> files = outputs(out);
  if (files.size() == 1) {
    check_output(out);
    return;
  }
  std::error_code ignored;
  if (std::filesystem::exists(out, ignored) && !std::filesystem::is_directory(out, ignored)) {
    fail(Code::bad_flag, out.string() + " is not a folder",
         "name a folder, or a file that ends in .json, .md or .html");
  }
  const std::filesystem::path above = std::filesystem::absolute(out).lexically_normal().parent_path();
  if (!std::filesystem::is_directory(above, ignored)) {
    fail(Code::bad_flag, "the folder " + above.string() + " is not there", "make it first");
  }
}

std::vector<std::filesystem::path> write_quality_report(const QualityReport& report, const std::filesystem::path& out,
                                                        Language language) {
  check_quality_output(out);
  const std::vector<Output> files = outputs(out);
  std::error_code failed;
  if (files.size() > 1) std::filesystem::create_directory(out, failed);
  if (failed) fail(Code::work_failed, "cannot make the folder " + out.string() + ": " + failed.message());
  std::vector<std::filesystem::path> written;
  for (const Output& file : files) {
    write_text(file.path, text_of(report, file.form, language));
    written.push_back(file.path);
  }
  return written;
}

}  // namespace autoglm
