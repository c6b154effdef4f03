// doctor: why it is slow, and what would help.
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>

#include "base/http_client.h"
#include "base/pool.h"
#include "cli/commands.h"
#include "cli/machine_settings.h"
#include "cli/open.h"
#include "cli/work.h"
#include "kernels/probe.h"
#include "model/families/family.h"
#include "tune/counters.h"
#include "tune/measure.h"
#include "tune/rules.h"
#include "tune/server_facts.h"

namespace autoglm {
namespace {

// What the machine's counters did while `work` ran.
template <typename Work>
Interval watch(const Context& context, Work&& work) {
  const Counters before = read_counters(context.machine().allowed);
  work();
  return between(before, read_counters(context.machine().allowed));
}

RunFacts run_facts(const ShortRun& run, const OpenedModel& opened, const Settings& settings) {
  const TokenWork work = token_work(opened.model->spec(), *opened.source);
  RunFacts facts;
  if (run.prefill_seconds > 0) {
    const double prompt = static_cast<double>(run.prompt);
    facts.prefill_tps = prompt / run.prefill_seconds;
    facts.prefill_gops = 2e-9 * work.products(prompt, 1) / run.prefill_seconds;
  }
  if (run.decode_seconds > 0) {
    const double decoded = static_cast<double>(run.decoded);
    const double kv = static_cast<double>(opened.model->memory().kv_per_token_bytes) *
                      (static_cast<double>(run.prompt) + decoded / 2);
    facts.decode_tps = decoded / run.decode_seconds;
    facts.decode_gbps = 1e-9 * (static_cast<double>(work.bytes) + kv) * facts.decode_tps;
  }
  facts.weight_bits = work.bits;
  facts.exact = opened.model->precision() == Precision::f32;
  facts.load_ms = opened.load_ms;
  facts.packing_ms = opened.model->packing_ms();
  facts.cache_enabled = settings.boolean("cache.enabled");
  facts.decode_zones = run.decode_zones;
  return facts;
}

// Loads the model and runs it. Its memory is given back before the roofs are probed.
void measure_model(Context& context, Facts& facts) {
  LoadOptions options = load_options(context);
  std::unique_ptr<OpenedModel> opened;
  facts.load = watch(context, [&] {
    opened = std::make_unique<OpenedModel>();
    opened->source = open_source(context);
    opened->packs = open_packs(context);
    opened->runtime = open_runtime(context);
    if (options.context == 0) options.context = std::min(kShortRunContext, read_spec(*opened->source).train_context);
    load_into(context, *opened, options);
  });
  if (opened->packs) opened->packs->finish();  // what is written meanwhile would be measured too
  ShortRun run;
  facts.work = watch(context, [&] { run = measure_run(*opened->model, [&] { context.interrupt().check(); }); });
  facts.run = run_facts(run, *opened, context.settings());
}

// An address of a GGUF is a model, every other one a server.
bool is_server(std::string_view name) { return parse_http_url(name).has_value() && !name.ends_with(".gguf"); }

// What a server has at this address of its own, given the key.
HttpReply asked_of(const Context& context, const std::string& url) {
  HttpCall call{.url = url};
  if (const auto key = context.settings().text_if("doctor.api_key")) {
    call.headers.emplace_back("Authorization", "Bearer " + *key);
  }
  call.given_up = [&] { return context.interrupt().requested(); };
  HttpReply reply = http_call(call);
  context.interrupt().check();
  return reply;
}

Facts examine_server(const Context& context, std::string url) {
  while (url.ends_with('/')) url.pop_back();
  const HttpReply reply = asked_of(context, url + "/metrics");
  if (reply.status == 401 || reply.status == 403) {
    fail(Code::unauthorized, fmt::format("{} asks for an API key", url), "give it with --api-key or AUTOGLM_API_KEY");
  }
  if (reply.status != 200) {
    fail(Code::work_failed, fmt::format("{} answers {} at /metrics", url, reply.status),
         "give the address of `autoglm serve`, without a path");
  }
  Facts facts;
  read_server_facts(facts, reply.body);
  const HttpReply requests = asked_of(context, url + "/debug/requests");
  if (requests.status == 200) read_request_facts(facts, requests.body);  // a proxy may hide it
  return facts;
}

Facts examine(Context& context) {
  if (context.has_argument("MODEL") && is_server(context.argument("MODEL"))) {
    return examine_server(context, context.argument("MODEL"));
  }
  const Settings& settings = context.settings();
  Facts facts;
  read_machine_facts(facts, context.machine());
  facts.threads = static_cast<int>(settings.integer("runtime.threads"));
  facts.isa = settings.text("runtime.isa");
  facts.best_isa = usable_isas().front();
  const bool with_model = context.has_argument("MODEL");
  if (with_model) measure_model(context, facts);
  context.interrupt().check();
  // Outlives the second reading of the counters: a thread that has ended takes its waiting time with it.
  WorkerPool pool({.threads = facts.threads, .cpus = affinity_cpus(settings, context.machine())});
  const auto probe = [&] {
    const Roofs roofs = probe_roofs(pool, facts.isa, [&] { context.interrupt().check(); });
    facts.int8_gops = facts.best_int8_gops = roofs.int8_gops;
    facts.read_gbps = std::max(roofs.read_gbps_small, roofs.read_gbps_huge);
    if (facts.isa != facts.best_isa) facts.best_int8_gops = probe_int8_gops(pool, facts.best_isa);
  };
  const Interval probing = watch(context, probe);
  if (!with_model) facts.work = probing;
  context.interrupt().check();
  return facts;
}

nlohmann::json optional_number(const std::optional<double>& value) {
  return value ? nlohmann::json(*value) : nlohmann::json();
}

// By zone, the part of all.
nlohmann::json zone_shares(const ZoneTotals& totals) {
  nlohmann::json object = nlohmann::json::object();
  const double sum = totals.sum();
  for (size_t i = 0; i < kZones && sum > 0; ++i) {
    if (totals.seconds.at(i) > 0) object[std::string(name(static_cast<Zone>(i)))] = totals.seconds.at(i) / sum;
  }
  return object;
}

// The largest, down to a twentieth of all.
std::string zones_line(const ZoneTotals& totals, bool zh) {
  std::vector<std::pair<double, std::string>> parts;
  const nlohmann::json shares = zone_shares(totals);  // items() refers to it
  for (const auto& [zone, share] : shares.items()) {
    if (share.get<double>() >= 0.05) parts.emplace_back(share.get<double>(), zone);
  }
  std::ranges::sort(parts, std::greater());
  std::string text;
  for (const auto& [share, zone] : parts) {
    text += fmt::format("{}{} {:.0f} %", text.empty() ? "" : ", ", zone, 100 * share);
  }
  return text.empty() ? text : (zh ? "解码的时间：" : "of decoding: ") + text + "\n";
}

nlohmann::json server_report(const Facts& facts) {
  const ServerFacts& server = *facts.server;
  const ReuseFacts& reuse = *facts.reuse;
  nlohmann::json slow;
  if (facts.slow) {
    slow = {{"id", facts.slow->id},
            {"stage", facts.slow->stage},
            {"ms", 1e3 * facts.slow->seconds},
            {"stage_ms", 1e3 * facts.slow->stage_seconds},
            {"expected_ms", 1e3 * facts.slow->expected_seconds}};
  }
  return {{"slow_request", slow},
          {"requests", server.requests},
          {"request_ms", 1e3 * server.request_seconds},
          {"queue_ms", 1e3 * server.queue_seconds},
          {"prefill_ms", 1e3 * server.prefill_seconds},
          {"decode_ms", 1e3 * server.decode_seconds},
          {"batch_size", server.batch},
          {"preemptions", server.preemptions},
          {"refused", server.refused},
          {"running", server.running},
          {"waiting", server.waiting},
          {"kv_share", server.kv_share},
          {"prompt_tokens", reuse.prompt_tokens},
          {"cached_tokens", reuse.cached_tokens},
          {"same_start_tokens", reuse.same_start_tokens},
          {"repeated_tokens", reuse.repeated_tokens}};
}

nlohmann::json report(const Facts& facts) {
  nlohmann::json findings = nlohmann::json::array();
  for (const Finding& finding : diagnose(facts, Language::en)) {
    findings.push_back({{"cause", finding.cause},
                        {"evidence", finding.evidence},
                        {"fix", finding.fix},
                        {"predicted_gain", optional_number(finding.gain)},
                        {"gain_of", finding.of}});
  }
  if (facts.server) return {{"findings", findings}, {"measured", server_report(facts)}};
  nlohmann::json measured = {
      {"threads", facts.threads},
      {"isa", facts.isa},
      {"int8_gops", facts.int8_gops},
      {"read_gbps", facts.read_gbps},
      {"seconds", facts.work.seconds},
      {"throttled_periods", facts.work.throttled_periods},
      {"throttled_ms", facts.work.throttled_seconds * 1e3},
      {"steal_share", facts.work.steal_share},
      {"run_delay_ms", facts.work.run_delay_seconds * 1e3},
      {"major_faults", facts.work.major_faults},
      {"swap_ins", facts.work.swap_ins},
  };
  if (facts.run) {
    measured["prefill_tps"] = facts.run->prefill_tps;
    measured["decode_tps"] = facts.run->decode_tps;
    measured["prefill_gops"] = facts.run->prefill_gops;
    measured["decode_gbps"] = facts.run->decode_gbps;
    measured["decode_zones"] = zone_shares(facts.run->decode_zones);
    measured["load_ms"] = facts.run->load_ms;
    measured["packing_ms"] = optional_number(facts.run->packing_ms);
  }
  return {{"findings", findings}, {"measured", measured}};
}

std::string server_line(const ServerFacts& server, const ReuseFacts& reuse, bool zh) {
  const double whole = std::max(1e-9, server.request_seconds);
  const double prompt = static_cast<double>(std::max<int64_t>(1, reuse.prompt_tokens));
  return fmt::format(
      fmt::runtime(
          zh ? "自启动以来 {} 个请求：排队 {:.0f} %，提示处理 {:.0f} %，解码 {:.0f} %；每步 {:.1f} 个请求；"
               "{:.0f} % 的提示 token 来自缓存\n"
             : "{} requests since it started: {:.0f} % of their time queue, {:.0f} % prefill, {:.0f} % decode; "
               "{:.1f} requests a step; {:.0f} % of prompt tokens cached\n"),
      server.requests, 100 * server.queue_seconds / whole, 100 * server.prefill_seconds / whole,
      100 * server.decode_seconds / whole, server.batch, 100 * static_cast<double>(reuse.cached_tokens) / prompt);
}

void print_report(const Context& context, const Facts& facts) {
  const bool zh = context.language() == Language::zh;
  std::string out;
  if (facts.run) {
    out += fmt::format(
        fmt::runtime(zh ? "提示处理 {:.1f} tok/s，解码 {:.1f} tok/s\n" : "prefill {:.1f} tok/s, decode {:.1f} tok/s\n"),
        facts.run->prefill_tps, facts.run->decode_tps);
    out += zones_line(facts.run->decode_zones, zh);
  }
  if (facts.server) {
    out += server_line(*facts.server, *facts.reuse, zh);
  } else {
    out += fmt::format(fmt::runtime(zh ? "性能上限：int8 {:.0f} Gop/s，内存读取 {:.1f} GB/s（{} 个线程，{}）\n"
                                       : "roofs: int8 {:.0f} Gop/s, reads {:.1f} GB/s ({} threads, {})\n"),
                       facts.int8_gops, facts.read_gbps, facts.threads, facts.isa);
  }
  const std::vector<Finding> findings = diagnose(facts, context.language());
  if (findings.empty()) out += zh ? "没有发现拖慢速度的原因。\n" : "Nothing found that slows it down.\n";
  const auto row = [&out](std::string_view en, std::string_view zh_name, bool chinese, std::string_view text) {
    out += fmt::format("  {} {}\n", chinese ? zh_name : en, text);
  };
  int number = 0;
  for (const Finding& finding : findings) {
    out += fmt::format("\n{}. {} [{}]\n", ++number, finding.title, finding.cause);
    row("evidence", "依据", zh, finding.evidence);
    row("fix     ", "办法", zh, finding.fix);
    const std::string gain = finding.gain ? fmt::format("{:.2f}x ({})", *finding.gain, finding.of)
                                          : (zh ? "无法预测" : "cannot be predicted");
    row("gain    ", "收益", zh, gain);
  }
  context.print(out);
}

int run(Context& context) {
  const Facts facts = examine(context);
  if (context.json()) {
    context.print_json(report(facts));
  } else {
    print_report(context, facts);
  }
  return 0;
}

}  // namespace

const Command kDoctor = {
    .name = "doctor",
    .summary = {"why it is slow, and what would help", "找出变慢的原因和改进办法"},
    .positionals = {{.name = "MODEL",
                     .required = false,
                     .help = {"measure a short run of this model, or judge the server at this http:// address; without "
                              "it only the machine is judged",
                              "测量这个模型的一次短运行，或检查这个 http:// 地址的服务器；不给出时只检查机器"}}},
    .details =
        {"Watches the machine during a short run: CPU quota, time taken by the hypervisor, time spent waiting for "
         "a CPU, pages read from disk and from swap; compares threads, instruction set and speed with what the "
         "machine can do. Each finding names its evidence, a fix and the predicted gain (so many times as fast).",
         "在一次短运行期间观察机器：CPU 配额、被虚拟化层占走的时间、等待 CPU 的时间、从磁盘和交换区读取的页；"
         "并把线程数、指令集和速度与机器能力比较。每条结论都给出依据、办法和预计收益（速度的倍数）。"},
    .examples = {{"autoglm doctor smollm2:135m", {"a model on this machine", "模型在本机的情况"}},
                 {"autoglm doctor http://127.0.0.1:8080", {"a server that runs", "正在运行的服务器"}},
                 {"autoglm doctor --json", {"the machine alone, for scripts", "只检查机器，供脚本使用"}}},
    .json_keys = "findings[{cause, evidence, fix, predicted_gain}]",
    .run = run,
};

}  // namespace autoglm
