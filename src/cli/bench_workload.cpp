#include "cli/bench_workload.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/ledger.h"
#include "cli/bench_account.h"
#include "cli/bench_model.h"
#include "cli/bench_report.h"
#include "cli/generate.h"
#include "cli/profile.h"
#include "cli/tuned_settings.h"
#include "engine/options.h"
#include "hw/pages.h"
#include "model/memory_plan.h"
#include "text/chat_messages.h"
#include "tune/workload_run.h"

namespace autoglm {
namespace {

WorkloadOptions workload_options(const Settings& settings, int64_t context) {
  WorkloadOptions options;
  options.requests = settings.integer_if("workload.requests").value_or(0);
  options.users = settings.integer_if("workload.users").value_or(0);
  options.rate = settings.real_if("workload.rate").value_or(0);
  options.scale = settings.real("workload.scale");
  options.seed = static_cast<uint64_t>(settings.integer_if("sampling.seed").value_or(1));
  options.context = context;
  return options;
}

WorkloadTokens tokens_of(const OpenedModel& opened) {
  WorkloadTokens tokens{.encode = [&](std::string_view text) { return opened.tokenizer->encode(text); }};
  if (opened.chat.chat_template) {
    tokens.render = [&](const std::string& messages) {
      return make_prompt(*opened.tokenizer, opened.chat, parse_messages(messages)).tokens;
    };
  }
  return tokens;
}

Workload workload_of(const Context& context, const OpenedModel& opened) {
  const Settings& settings = context.settings();
  const std::string& name = settings.text("workload.name");
  const WorkloadOptions options = workload_options(settings, opened.model->context());
  if (!name.ends_with(".jsonl")) return make_workload(name, options, tokens_of(opened));
  const std::string shown = std::filesystem::path(name).filename().string();
  return make_workload(read_workload_lines(read_text(name), shown), shown, options, tokens_of(opened));
}

/// The least time that the steps could have taken on this machine, added up.
class RoofTime {
 public:
  RoofTime(const OpenedModel& opened, double huge_share)
      : spec_(opened.model->spec()),
        work_(token_work(spec_, *opened.source)),
        bytes_(step_bytes(spec_, *opened.source, *opened.runtime.backend, opened.model->precision(),
                          opened.model->kv_type(), {.prompt = 0, .gen = 1, .depth = 0, .batch = 1})),
        mix_(arithmetic_of(spec_, *opened.source, opened.model->precision())),
        kv_token_(static_cast<double>(opened.model->memory().kv_per_token_bytes)),
        huge_share_(huge_share) {}

  void add(const WorkloadStep& step) { steps_.push_back(step); }

  /// Of the roofs measured before and after. `bound`: what most of that least time is.
  nlohmann::json json(const std::vector<Roofs>& probes) const {
    std::vector<double> arithmetic, reads;
    for (const Roofs& roofs : probes) {
      arithmetic.push_back(arithmetic_roof(mix_, roofs));
      reads.push_back(read_roof(huge_share_, roofs));
    }
    const double gops = median(arithmetic), gbps = median(reads);
    nlohmann::json out = {{"roof_share", nullptr}, {"bound", nullptr}};
    if (gops <= 0 || gbps <= 0) return out;
    double computing = 0, reading = 0, taken = 0;
    for (const WorkloadStep& step : steps_) {
      const auto rows = static_cast<double>(step.shape.prefill_rows + step.shape.decode_rows);
      const double operations = 2 * work_.products(rows, static_cast<double>(step.shape.logit_rows));
      const double bytes = bytes_.weights + kv_token_ * static_cast<double>(step.shape.decode_depth);
      const double compute = operations / gops / 1e9, read = bytes / gbps / 1e9;
      (compute > read ? computing : reading) += std::max(compute, read);
      taken += step.seconds;
    }
    if (taken <= 0) return out;
    out["roof_share"] = (computing + reading) / taken;
    out["bound"] = computing > reading ? "arithmetic" : "memory reads";
    out["compute_bound_share"] = computing / (computing + reading);
    out["int8_gops"] = gops;
    out["read_gbps"] = gbps;
    return out;
  }

 private:
  const ArchSpec& spec_;
  TokenWork work_;
  StepBytes bytes_;
  Arithmetic mix_;
  double kv_token_;
  double huge_share_;
  std::vector<WorkloadStep> steps_;
};

std::string percentile_text(const nlohmann::json& object, const char* label, const char* key) {
  const nlohmann::json& values = object.at(key);
  return fmt::format("{:<14}{:>9.1f} {:>9.1f} {:>9.1f} ms\n", label, values.at("p50").get<double>(),
                     values.at("p95").get<double>(), values.at("p99").get<double>());
}

std::string to_text(const nlohmann::json& object, bool zh) {
  std::string text = fmt::format("{:<14}{:>9} {:>9} {:>9}\n", "", "p50", "p95", "p99");
  text += percentile_text(object, "first token", "first_token_ms");
  text += percentile_text(object, "gap", "gap_ms");
  text += percentile_text(object, "end to end", "end_to_end_ms");
  text += fmt::format(fmt::runtime(zh ? "{:.1f} token/s，{:.2f} 请求/s；{} 个请求，{} 个提示 token（缓存命中 {}），"
                                        "生成 {} 个\n"
                                      : "{:.1f} tok/s, {:.2f} requests/s; {} requests, {} prompt tokens ({} from the "
                                        "cache), {} answered\n"),
                      object.at("throughput_tps").get<double>(), object.at("requests_per_second").get<double>(),
                      object.at("requests").dump(), object.at("prompt_tokens").dump(),
                      object.at("cached_tokens").dump(), object.at("completion_tokens").dump());
  if (!object.at("roof_share").is_null()) {
    text += fmt::format(fmt::runtime(zh ? "达到本机上限的 {:.0f} %；主要受限于：{}\n"
                                        : "{:.0f} % of what this machine's roofs allow; bound by {}\n"),
                        100 * object.at("roof_share").get<double>(), object.at("bound").get<std::string>());
  }
  if (!object.at("joules").is_null()) {
    text += fmt::format(fmt::runtime(zh ? "{:.0f} J，每个 token {:.2f} J\n" : "{:.0f} J, {:.2f} J a token\n"),
                        object.at("joules").get<double>(), object.at("joules_per_token").get<double>());
  }
  text += fmt::format(fmt::runtime(zh ? "峰值内存 {}（计划 {}），{:.1f} 秒，回答 {}\n"
                                      : "peak {} ({} planned), {:.1f} s, answers {}\n"),
                      format_bytes(object.at("peak_rss_bytes").get<int64_t>()),
                      format_bytes(object.at("planned_bytes").get<int64_t>()), object.at("seconds").get<double>(),
                      object.at("answers_hash").get<std::string>());
  return text;
}

// Every kind of step once, so that nothing that is timed pays for the first touch of memory; not in the prefix cache's
// way: it is another engine's.
void warm_up(const OpenedModel& opened, const EngineOptions& options, const std::function<void()>& check) {
  Engine engine(*opened.model, *opened.tokenizer, opened.chat, options);
  Request request;
  const int64_t tokens = std::min<int64_t>(64, opened.model->context() / 2);
  for (int64_t i = 0; i < tokens; ++i) {
    request.prompt.push_back(static_cast<int32_t>((i * 7919 + 1) % opened.model->spec().vocabulary));
  }
  request.max_tokens = std::min<int64_t>(8, opened.model->context() / 4);
  request.ignore_eos = true;
  generate(
      engine, std::move(request),
      [&] {
        check();
        return false;
      },
      nullptr, nullptr);
}

}  // namespace

int bench_workload(Context& context) {
  const Settings& settings = context.settings();
  apply_tuned(context);
  std::unique_ptr<OpenedModel> here;
  if (context.has_argument("MODEL")) {
    here = open_unloaded(context);
    apply_profile_to_model(context, *here->source, here->runtime, {"batching.max_batch_size"});
  }
  std::vector<std::string> notes;
  EngineOptions options = serving_options(settings, notes);
  options.max_queue = -1;  // an open loop waits as long as it has to, and its times say so
  options.deadlines = {};
  const BenchModel bench_model =
      open_bench_model(context, load_options(context, options.max_sequences), true, std::move(here));
  OpenedModel& opened = *bench_model.opened;
  Model& model = *opened.model;
  const Workload workload = workload_of(context, opened);
  if (opened.packs) opened.packs->finish();  // writing them would be measured too
  const auto check = [&] { context.interrupt().check(); };
  std::unique_ptr<RoofProbe> probe;
  std::vector<Roofs> roofs;
  constexpr int kTries = 2;
  warm_up(opened, options, check);
  const auto load_ms = opened.load_ms;
  const int64_t weights = std::max<int64_t>(1, model.memory().weights_bytes);
  RoofTime roof_time(opened,
                     std::clamp(static_cast<double>(bench_model.huge_bytes) / static_cast<double>(weights), 0.0, 1.0));
  WorkloadFigures figures;
  {
    Progress progress = context.progress("requests", std::ssize(workload.requests), false);
    Engine engine(model, *opened.tokenizer, opened.chat, options);
    figures = run_workload(engine, workload,
                           {.check = check,
                            .progress = [&](int64_t done) { progress.update(done); },
                            .step = [&](const WorkloadStep& step) { roof_time.add(step); }});
  }
  figures.planned_bytes = model.memory().total_bytes;
  if (settings.boolean("hw.probe")) {  // after the peak was read: it needs memory of its own
    probe = std::make_unique<RoofProbe>(*opened.runtime.pool, opened.runtime.backend->name(), check);
    for (int round = 0; round < 3; ++round) roofs.push_back(probe->round(kTries, check));
  }
  nlohmann::json object = to_json(figures);
  object.update(roof_time.json(roofs));
  object["joules_per_token"] =
      figures.joules ? nlohmann::json(*figures.joules / static_cast<double>(figures.completion_tokens)) : nullptr;
  object["workload"] = {{"name", workload.name},         {"seed", workload.seed},
                        {"users", workload.users},       {"scale", workload.scale},
                        {"longest", workload.longest()}, {"loop", workload.users > 0 ? "closed" : "open"}};
  object["load_ms"] = load_ms;
  object["context"] = model.context();
  object["isa"] = opened.runtime.backend->name();
  object["threads"] = opened.runtime.pool->size();
  object["kv_type"] = name(model.kv_type());
  object["cpu"] = context.machine().model;
  if (context.json()) {
    context.print_json(object);
  } else {
    context.print(to_text(object, context.language() == Language::zh));
  }
  return 0;
}

}  // namespace autoglm
