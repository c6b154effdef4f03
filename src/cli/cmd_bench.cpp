// bench: speed against the machine's own roofs, and against a peer in the same minutes.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

#include "cli/bench_peer.h"
#include "cli/bench_run.h"
#include "cli/commands.h"
#include "cli/open.h"
#include "cli/work.h"
#include "kernels/probe.h"
#include "model/memory_plan.h"
#include "model/random_weights.h"

namespace autoglm {
namespace {

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

double sum(const std::vector<double>& values) { return std::accumulate(values.begin(), values.end(), 0.0); }

/// Rates of all repetitions.
struct Rates {
  std::vector<double> prefill;
  std::vector<double> decode;
  std::vector<double> step_ms;
  std::vector<double> first_token_ms;
};

void put(nlohmann::json& object, const std::string& key, const std::vector<double>& values) {
  if (values.empty()) {
    object[key] = object[key + "_min"] = object[key + "_max"] = nullptr;
    return;
  }
  object[key] = median(values);
  object[key + "_min"] = *std::ranges::min_element(values);
  object[key + "_max"] = *std::ranges::max_element(values);
}

BenchShape shape_of(const Settings& settings) {
  BenchShape shape{.prompt = settings.integer("bench.prompt"),
                   .gen = settings.integer("bench.gen"),
                   .depth = settings.integer("bench.depth"),
                   .batch = settings.integer("bench.batch"),
                   .seed = static_cast<uint64_t>(settings.integer_if("sampling.seed").value_or(1))};
  if (shape.prompt == 0 && shape.gen == 0) {
    fail(Code::bad_flag, "--prompt 0 and --gen 0 leave nothing to measure", "give one of them more than 0");
  }
  return shape;
}

Rates measure(Context& context, BenchRun& bench, const BenchShape& shape, Peer* peer) {
  const int64_t reps = context.settings().integer("bench.reps");
  Rates rates;
  // Warm-up: pages are touched, clocks are up, caches are as in the middle of a run.
  if (shape.prompt > 0) bench.prefill();
  if (shape.gen > 0) bench.decode();
  Progress progress = context.progress("repetitions", reps, false);
  for (int64_t rep = 0; rep < reps; ++rep) {
    if (shape.prompt > 0) {
      const double seconds = bench.prefill();
      rates.prefill.push_back(static_cast<double>(shape.prompt * shape.batch) / seconds);
      rates.first_token_ms.push_back(bench.first_token() * 1e3);
    }
    if (shape.gen > 0) {
      const std::vector<double> steps = bench.decode();
      rates.decode.push_back(static_cast<double>(shape.gen * shape.batch) / sum(steps));
      for (const double step : steps) rates.step_ms.push_back(step * 1e3);
    }
    if (peer != nullptr) peer->repeat();
    progress.update(rep + 1);
    context.interrupt().check();
  }
  return rates;
}

// Prompt tokens multiply every layer's weights; the head only where logits are wanted. 1 multiply-add = 2 operations.
double prefill_gops(const TokenWork& work, const BenchShape& shape, double tps) {
  if (shape.prompt == 0) return 0;
  const double per_prompt = static_cast<double>(work.layer_weights) * static_cast<double>(shape.prompt) +
                            static_cast<double>(work.head_weights);
  return 2 * per_prompt / static_cast<double>(shape.prompt) * tps / 1e9;
}

// A step reads the weights once and every sequence's keys and values, on average those at half the generation.
double decode_gbps(const TokenWork& work, const MemoryPlan& plan, const BenchShape& shape, double tps) {
  const double kv = static_cast<double>(plan.kv_per_token_bytes) * static_cast<double>(shape.batch) *
                    (static_cast<double>(shape.depth) + static_cast<double>(shape.gen) / 2);
  return (static_cast<double>(work.bytes) + kv) * tps / static_cast<double>(shape.batch) / 1e9;
}

std::string text_of(const nlohmann::json& object, const BenchShape& shape) {
  std::string text;
  const auto rate = [&](const char* label, const char* key, double per_roof, const char* roof) {
    if (object[key].is_null()) return;
    text += fmt::format("{:<10}{:>9.1f} tok/s  ({:.1f} to {:.1f})  {:.0f} % of {}\n", label, object[key].get<double>(),
                        object[std::string(key) + "_min"].get<double>(),
                        object[std::string(key) + "_max"].get<double>(), 100 * per_roof, roof);
  };
  const auto share = [&](const char* part, const char* whole) {
    const double roof = object[whole].get<double>();
    return roof > 0 ? object[part].get<double>() / roof : 0.0;
  };
  rate("prefill", "prefill_tps", share("prefill_gops", "int8_gops"),
       fmt::format("{:.0f} int8 Gop/s", object["int8_gops"].get<double>()).c_str());
  rate("decode", "decode_tps", share("decode_gbps", "read_gbps"),
       fmt::format("{:.1f} GB/s", object["read_gbps"].get<double>()).c_str());
  text += fmt::format("prompt {}, gen {}, depth {}, batch {}; load {:.0f} ms, peak {}, logits {}\n", shape.prompt,
                      shape.gen, shape.depth, shape.batch, object["load_ms"].get<double>(),
                      format_bytes(object["peak_rss_bytes"].get<int64_t>()), object["logits_hash"].get<std::string>());
  if (object.contains("peer")) {
    const nlohmann::json& peer = object["peer"];
    text += fmt::format("{} {}: prefill {} tok/s, decode {} tok/s\n", peer["name"].get<std::string>(),
                        peer["version"].get<std::string>(), peer["prefill_tps"].dump(), peer["decode_tps"].dump());
  }
  return text;
}

// MODEL, or random weights of a known shape.
std::unique_ptr<OpenedModel> open_bench_model(Context& context, const LoadOptions& options) {
  const std::optional<std::string> name = context.settings().text_if("bench.shape");
  if (!name) {
    const int64_t tokens = options.context;
    return open_and_load(context, options, false, tokens);
  }
  if (context.has_argument("MODEL")) {
    fail(Code::bad_flag, "both a model and --shape were given", "give one of them");
  }
  const ShapeTable table = ShapeTable::built_in();
  const ModelShape shape = table.shape(*name);
  const std::string type = context.settings().text_if("bench.type").value_or("Q4_0");
  const TypeRecipe recipe = table.recipe(type);
  auto opened = std::make_unique<OpenedModel>();
  opened->runtime = open_runtime(context);
  const int64_t limit = opened->runtime.ledger->limit();
  const int64_t weights =
      count_parameters(shape_spec(shape)) * info(recipe.matrix).block_bytes / info(recipe.matrix).block_columns;
  if (limit > 0 && weights > limit) {
    fail(Code::out_of_memory,
         fmt::format("{} as {} needs {} for its weights, the limit is {}", *name, type, format_bytes(weights),
                     format_bytes(limit)),
         "take a smaller --shape or --type");
  }
  context.note(fmt::format("making random weights: {} as {}", *name, type));
  opened->source = random_model(shape, recipe, 1, *opened->runtime.pool);
  context.interrupt().check();
  load_into(context, *opened, options, options.context);
  return opened;
}

int run(Context& context) {
  const Settings& settings = context.settings();
  const BenchShape shape = shape_of(settings);
  const LoadOptions options = bench_options(load_options(context), shape);
  const std::unique_ptr<OpenedModel> opened = open_bench_model(context, options);
  Model& model = *opened->model;
  std::unique_ptr<Peer> peer;
  if (const auto program = settings.text_if("bench.peer")) {
    peer = std::make_unique<Peer>(*program, opened->source->path(), shape, opened->runtime.pool->size());
  }
  BenchRun bench(model, shape, [&] { context.interrupt().check(); });
  const Rates rates = measure(context, bench, shape, peer.get());
  const TokenWork work = token_work(model.spec(), *opened->source);
  nlohmann::json object;
  put(object, "prefill_tps", rates.prefill);
  put(object, "decode_tps", rates.decode);
  object["step_ms"] = median(rates.step_ms);
  object["first_token_ms"] = median(rates.first_token_ms);
  object["load_ms"] = opened->load_ms;
  object["peak_rss_bytes"] = peak_rss_bytes();  // before the probes, which need memory of their own
  object["weight_bytes"] = model.memory().weights_bytes;
  object["planned_bytes"] = model.memory().total_bytes;
  object["prefill_gops"] = prefill_gops(work, shape, median(rates.prefill));
  object["decode_gbps"] = decode_gbps(work, model.memory(), shape, median(rates.decode));
  const Roofs roofs = probe_roofs(*opened->runtime.pool, opened->runtime.backend->name());
  object["int8_gops"] = roofs.int8_gops;
  object["bf16_gops"] = roofs.bf16_gops;
  object["read_gbps"] = roofs.read_gbps_small;
  object["read_gbps_huge"] = roofs.read_gbps_huge;
  object["logits_hash"] = bench.logits_hash();
  object["isa"] = opened->runtime.backend->name();
  object["threads"] = opened->runtime.pool->size();
  object["kv_type"] = name(model.kv_type());
  if (peer) object["peer"] = peer->report();
  if (context.json()) {
    context.print_json(object);
  } else {
    context.print(text_of(object, shape));
  }
  return 0;
}

}  // namespace

const Command kBench = {
    .name = "bench",
    .summary = {"speed of a model on this machine", "测量模型在本机的速度"},
    .positionals = {{.name = "MODEL",
                     .required = false,
                     .help = {"the model; or --shape NAME for random weights",
                              "模型；或用 --shape NAME 使用随机权重"}}},
    .details =
        {"Prompts and decode steps of random tokens, alternating, after a warm-up; medians. Shares are of the roofs "
         "probed in the same run.",
         "预热后交替测量随机 token 的提示处理和解码，取中位数。百分比相对于同一次运行中测得的上限。"},
    .examples = {{"autoglm bench model.gguf", {"512 prompt tokens, 64 generated", "512 个提示 token，生成 64 个"}},
                 {"autoglm bench --shape glm4-9b --type Q4_0 --prompt 256 --gen 16",
                  {"a model that is not here", "本地没有的模型"}}},
    .json_keys =
        "prefill_tps, prefill_tps_min, prefill_tps_max, decode_tps, decode_tps_min, decode_tps_max, step_ms, "
        "first_token_ms, load_ms, peak_rss_bytes, weight_bytes, prefill_gops, decode_gbps, int8_gops, "
        "read_gbps, peer{name, version, ...}, logits_hash",
    .run = run,
};

}  // namespace autoglm
