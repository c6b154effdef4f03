// bench: speed against the machine's own roofs, and against a peer in the same minutes.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/ledger.h"
#include "base/output_file.h"
#include "cli/bench_model.h"
#include "cli/bench_peer.h"
#include "cli/bench_report.h"
#include "cli/bench_run.h"
#include "cli/bench_sweep.h"
#include "cli/bench_workload.h"
#include "cli/commands.h"
#include "cli/open.h"
#include "hw/resident.h"
#include "model/memory_plan.h"
#include "model/random_weights.h"

namespace autoglm {
namespace {

double sum(const std::vector<double>& values) { return std::accumulate(values.begin(), values.end(), 0.0); }

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

// A round is the roofs, a prefill, the decode steps and the peer's turn, so that a drift of the machine hits all alike.
BenchRounds measure(Context& context, BenchRun& bench, const BenchShape& shape, const RoofProbe* probe, Peer* peer) {
  constexpr int kTries = 2;
  const int64_t reps = context.settings().integer("bench.reps");
  const auto check = [&] { context.interrupt().check(); };
  BenchRounds rounds;
  Progress progress = context.progress("rounds", reps, false);
  for (int64_t rep = 0; rep < reps; ++rep) {
    if (probe != nullptr) rounds.roofs.push_back(probe->round(kTries, check));
    if (shape.prompt > 0) {
      const double seconds = bench.prefill();
      rounds.prefill_tps.push_back(static_cast<double>(shape.prompt * shape.batch) / seconds);
      rounds.first_token_ms.push_back(bench.first_token() * 1e3);
    }
    if (shape.gen > 0) {
      const std::vector<double> steps = bench.decode();
      rounds.decode_tps.push_back(static_cast<double>(shape.gen * shape.batch) / sum(steps));
      for (const double step : steps) rounds.step_ms.push_back(step * 1e3);
    }
    if (peer != nullptr) peer->repeat();
    progress.update(rep + 1);
    check();
  }
  rounds.prefill_zones = bench.prefill_zones();
  rounds.decode_zones = bench.decode_zones();
  rounds.zone_seconds = measure_zone_cost();
  return rounds;
}

int write_file(Context& context, const std::string& path) {
  if (!context.settings().text_if("bench.shape")) {
    fail(Code::bad_flag, "--write needs --shape", "for example: --shape llama-1.45b --type Q4_0 --write model.gguf");
  }
  check_output(path);  // not after a minute of making weights
  const BenchModel model = make_bench_model(context);
  Progress progress = context.progress("writing", 0, true);
  const int64_t bytes = write_random_model(*model.opened->source, path, [&](int64_t done, int64_t total) {
    progress.set_total(total);
    progress.update(done);
    context.interrupt().check();
  });
  if (context.json()) {
    context.print_json({{"path", path}, {"bytes", bytes}});
  } else {
    context.print(fmt::format("{}: {}\n", path, format_bytes(bytes)));
  }
  return 0;
}

void warm_up(BenchRun& bench, const BenchShape& shape) {
  if (shape.prompt > 0) bench.prefill();
  if (shape.gen > 0) bench.decode();
  bench.forget_zones();
}

int run(Context& context) {
  const Settings& settings = context.settings();
  if (const auto path = settings.text_if("bench.write")) return write_file(context, *path);
  if (!context.has_argument("MODEL") && !settings.text_if("bench.shape")) {
    fail(Code::bad_flag, "no model was named", "give a model, or --shape NAME for one with random weights");
  }
  if (settings.is_set("bench.sweep")) return bench_sweep(context);
  if (settings.is_set("workload.name")) return bench_workload(context);
  const BenchShape shape = shape_of(settings);
  const BenchModel bench_model = open_bench_model(context, bench_options(load_options(context), shape), false);
  OpenedModel& opened = *bench_model.opened;
  Model& model = *opened.model;
  Backend& backend = *opened.runtime.backend;
  std::unique_ptr<Peer> peer;
  if (const auto program = settings.text_if("bench.peer")) {
    peer = std::make_unique<Peer>(*program, opened.source->path(), shape, opened.runtime.pool->size());
  }
  BenchFacts facts{
      .shape = shape,
      .work = token_work(model.spec(), *opened.source),
      .bytes = step_bytes(model.spec(), *opened.source, backend, model.precision(), model.kv_type(), shape),
      .mix = arithmetic_of(model.spec(), *opened.source, model.precision()),
      .huge_share = 0};
  facts.huge_share = std::clamp(static_cast<double>(bench_model.huge_bytes) / facts.bytes.resident, 0.0, 1.0);
  if (opened.packs) opened.packs->finish();  // writing them would be measured too
  const auto check = [&] { context.interrupt().check(); };
  BenchRun bench(model, shape, check);
  warm_up(bench, shape);                        // pages are touched, clocks are up, caches as in the middle of a run
  const int64_t peak = resident_memory().peak;  // before the probe, which needs memory of its own
  std::unique_ptr<RoofProbe> probe;
  if (settings.boolean("hw.probe")) probe = std::make_unique<RoofProbe>(*opened.runtime.pool, backend.name(), check);
  nlohmann::json object = bench_json(measure(context, bench, shape, probe.get(), peer.get()), facts);
  object["rounds"] = settings.integer("bench.reps");
  object["load_ms"] = opened.load_ms;
  object["peak_rss_bytes"] = peak;
  object["weight_bytes"] = model.memory().weights_bytes;
  object["planned_bytes"] = model.memory().total_bytes;
  object["logits_hash"] = bench.logits_hash();
  object["isa"] = backend.name();
  object["threads"] = opened.runtime.pool->size();
  object["kv_type"] = name(model.kv_type());
  object["precision"] = model.precision() == Precision::f32 ? "f32" : "auto";
  object["cpu"] = context.machine().model;
  if (peer) object["peer"] = peer->report();
  if (context.json()) {
    context.print_json(object);
  } else {
    context.print(bench_text(object));
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
        {"After a warm-up, rounds of: the machine's roofs (arithmetic, reads), a prompt of random tokens, decode "
         "steps. "
         "Shows medians, the spread over the rounds, and each as a share of the roof of its round: int8 (or bf16) "
         "multiply-adds for the prompt, bytes read for decode, on the pages that the weights lie on.\n"
         "--depth N measures both with N tokens already in the cache; --batch M is M sequences together, speeds are "
         "those of all M. --shape NAME --type RECIPE makes random weights; with --write FILE they become a GGUF file "
         "that other engines can load.\n"
         "--workload NAME runs requests as users make them (chat, rag, code, batch, or a JSONL file) through the "
         "engine "
         "as a server would, and shows percentiles of first token, gap and end to end. --sweep LIST measures over "
         "batch, ctx or threads and marks the knee.",
         "预热后按轮次测量：本机性能上限（计算、读内存）、随机 token "
         "的提示处理、解码。显示中位数、各轮的范围，以及占同一轮上限的比例："
         "提示处理为 int8（或 bf16）乘加，解码为读取的字节（按权重所在的页类型）。\n"
         "--depth N 表示缓存中已有 N 个 token；--batch M 表示 M 个序列同时进行，速度为总和。--shape 名称 --type 配方 "
         "生成随机权重；"
         "加 --write 文件则写成其他引擎可加载的 GGUF 文件。\n"
         "--workload 名称 像服务器那样通过引擎运行用户式的请求（chat、rag、code、batch 或 JSONL "
         "文件），显示首个 token、token 间隔和端到端时间的分位数。"
         "--sweep 列表 在 batch、ctx 或 threads 上扫描并标出拐点。"},
    .examples = {{"autoglm bench model.gguf", {"512 prompt tokens, 64 generated", "512 个提示 token，生成 64 个"}},
                 {"autoglm bench --shape glm4-9b --type Q4_0 --prompt 256 --gen 16",
                  {"a model that is not here", "本地没有的模型"}},
                 {"autoglm bench model.gguf --workload chat", {"as two users would find it", "两个用户的实际体验"}},
                 {"autoglm bench model.gguf --sweep batch,threads --report sweep.html",
                  {"a page with plots", "带图表的页面"}},
                 {"autoglm bench --shape llama-1.45b --type Q4_K_M --write random.gguf",
                  {"the same model for other engines", "把同一模型给其他引擎使用"}}},
    .json_keys =
        "prefill_tps, prefill_tps_min, prefill_tps_max, decode_tps, decode_tps_min, decode_tps_max, step_ms, "
        "first_token_ms, load_ms, peak_rss_bytes, weight_bytes, prefill_gops, decode_gbps, int8_gops, "
        "read_gbps, prefill_roof_share, decode_roof_share, decode_zones{ZONE: ms}, prefill_zones{ZONE: ms}, "
        "zone_ns, zones_per_step, zone_share, weight_pages, peer{name, version, ...}, logits_hash; with "
        "--write path, bytes; with --workload first_token_ms{p50, p95, p99}, gap_ms{...}, end_to_end_ms{...}, "
        "throughput_tps, requests_per_second, seconds, requests, prompt_tokens, cached_tokens, completion_tokens, "
        "peak_rss_bytes, planned_bytes, joules, roof_share, bound, answers_hash, workload{...}; with --sweep "
        "sweeps[{over, points[{at, ...}], knee}]",
    .run = run,
};

}  // namespace autoglm
