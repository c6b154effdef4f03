#include <cmath>
#include <nlohmann/json.hpp>

#include "compress/quality_writers.h"
#include "optimize/words.h"
#include "optimize/writers.h"

namespace autoglm {
namespace {

using Json = nlohmann::json;

Json side(const OptimizedSide& s) {
  Json out = to_json(s.run);
  out["name"] = s.name;
  out["file_bytes"] = s.file_bytes;
  out["bits_per_weight"] = s.bits_per_weight;
  out["kld_mean"] = s.quality ? Json(s.quality->kld_mean) : Json();
  out["top1_agreement"] = s.quality ? Json(s.quality->top1_agreement) : Json();
  out["ppl"] = s.quality ? Json(s.quality->ppl_b) : Json();
  return out;
}

Json figures(const FormFigures& f) {
  return {{"file_bytes", f.bytes}, {"peak_rss_bytes", f.memory}, {"end_to_end_p50_ms", f.ms}, {"kld_mean", f.kld}};
}

Json forms(const OptimizeReport& r) {
  Json out = Json::array();
  for (size_t i = 0; i < r.forms.size(); ++i) {
    const FormRecord& form = r.forms[i];
    Json row = {{"name", form.name},
                {"bits_per_weight", form.bits},
                {"predicted", figures(form.form.predicted)},
                {"measured", form.form.measured ? figures(*form.form.measured) : Json()},
                {"method", form.method},
                {"chosen", r.chosen == i}};
    if (form.form.damaged) row["damage"] = form.damage;
    out.push_back(std::move(row));
  }
  return out;
}

Json stages(const OptimizeReport& r) {
  Json out = Json::array();
  for (const StageRecord& s : r.stages) {
    out.push_back({{"name", name(s.stage)},
                   {"predicted_ms", 1e3 * s.predicted.seconds},
                   {"taken_ms", s.seconds ? Json(1e3 * *s.seconds) : Json()},
                   {"predicted_memory_bytes", s.predicted.memory},
                   {"taken_memory_bytes", s.memory ? Json(*s.memory) : Json()},
                   {"predicted_disk_bytes", s.predicted.disk}});
  }
  return out;
}

std::string_view name(Verdict verdict) {
  constexpr std::string_view kNames[] = {"improved", "tuned", "nothing_better", "interrupted"};
  return kNames[static_cast<size_t>(verdict)];
}

Json text(const TextRecord& t) {
  if (t.name.empty()) return {};
  return {{"name", t.name}, {"sha256", t.sha256}, {"windows", t.windows}, {"written_by_model", t.own}};
}

}  // namespace

nlohmann::json optimize_json(const OptimizeReport& r) {
  Json settings = Json::array(), trials = Json::array(), shrunk = Json::array();
  for (const SettingRecord& s : r.settings) {
    settings.push_back({{"key", s.key}, {"value", s.value}, {"default", s.default_value}, {"reason", s.reason_en}});
  }
  for (const TrialRecord& t : r.trials) {
    trials.push_back(
        {{"settings", t.settings}, {"ratio", t.ratio}, {"measurements", t.measurements}, {"kept", t.kept}});
  }
  for (const Shrunk& s : r.shrunk) shrunk.push_back(shrunk_words(s, Language::en));
  const auto limit = [](int64_t bytes) { return bytes > 0 ? Json(bytes) : Json(); };
  Json out = {
      {"schema_version", OptimizeReport::kSchemaVersion},
      {"verdict", name(r.verdict)},
      {"source", r.source},
      {"source_path", r.source_path.string()},
      {"source_types", r.source_types},
      {"source_quantized", r.source_quantized},
      {"goal", name(r.goal)},
      {"limits",
       {{"max_kld", r.limits.max_kld},
        {"max_file_bytes", limit(r.limits.max_bytes)},
        {"max_memory_bytes", limit(r.limits.max_memory)}}},
      {"workload", r.workload},
      {"before", side(r.before)},
      {"after", side(r.after)},
      {"quality", r.quality ? quality_json(*r.quality) : Json::object()},
      {"forms", forms(r)},
      {"settings", settings},
      {"trials", trials},
      {"stages", stages(r)},
      {"shrunk", shrunk},
      {"budget_ms", 1e3 * r.budget},
      {"taken_ms", 1e3 * r.seconds},
      {"calibration", text(r.calibration)},
      {"evaluation", text(r.evaluation)},
      {"model", r.model},
      {"config", r.config},
  };
  out["comparison"] = r.comparison
                          ? Json{{"ratio", r.comparison->ratio},
                                 {"low", r.comparison->low},
                                 {"high", std::isfinite(r.comparison->high) ? Json(r.comparison->high) : Json()},
                                 {"pairs", r.comparison->pairs}}
                          : Json();
  if (r.chosen) out["recipe"] = r.forms[*r.chosen].recipe.yaml();
  return out;
}

}  // namespace autoglm
