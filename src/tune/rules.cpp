#include "tune/rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace autoglm {
namespace {

using Judged = std::optional<Judgement>;

// Below these shares a cause is noise: ordinary system activity costs as much.
constexpr double kThrottled = 0.02;
constexpr double kSteal = 0.03;
constexpr double kRunDelay = 0.05;
// A page from a solid-state disk takes about 0.1 ms, from a slower one more: the prediction is a lower bound.
constexpr double kFaultSeconds = 1e-4;
constexpr double kFaultShare = 0.02;
// Of all prompt tokens; fewer requests than this show no habit.
constexpr double kReuse = 0.2;
constexpr int64_t kLeastRequests = 4;
// Of a server's requests: of their time, or of their number.
constexpr double kQueued = 0.2;
constexpr double kRefused = 0.02;
constexpr double kPreempted = 0.05;
constexpr double kSmallBatch = 1.5;
// Where the kernels stand when nothing holds them back (docs/PERFORMANCE.md): what is far below asks for a reason.
constexpr double kDecodeBound = 0.6;
constexpr double kDecodeReach = 0.9;
constexpr double kPrefillReach = 0.65;

template <typename... Args>
std::string say(Language language, fmt::format_string<Args...> en, fmt::format_string<Args...> zh, Args&&... args) {
  return fmt::format(language == Language::zh ? zh : en, std::forward<Args>(args)...);
}

// Time that is lost for a share of the run comes back if the cause goes.
double without(double share) { return 1.0 / (1.0 - std::clamp(share, 0.0, 0.95)); }

double thread_seconds(const Facts& facts) { return facts.work.seconds * std::max(1, facts.threads); }

Judged throttled(const Facts& f, Language l) {
  const int running = std::max(1, std::min(f.threads, f.allowed_cpus));
  const double share = f.work.seconds > 0 ? f.work.throttled_seconds / (f.work.seconds * running) : 0;
  const double periods = f.work.periods > 0 ? static_cast<double>(f.work.throttled_periods) / f.work.periods : 0;
  if (share < kThrottled && periods < 0.1) return {};
  return Judgement{say(l, "stopped in {} of {} quota periods, {:.0f} % of the CPU time",
                       "在 {} / {} 个配额周期内被暂停，占 CPU 时间的 {:.0f} %", f.work.throttled_periods,
                       f.work.periods, 100 * std::min(share, 1.0)),
                   say(l, "raise the CPU quota to {} (docker --cpus, Kubernetes limits.cpu), or use --threads {}",
                       "把 CPU 配额提高到 {}（docker --cpus、Kubernetes limits.cpu），或使用 --threads {}", f.threads,
                       f.suggested_threads),
                   without(share)};
}

Judged stolen(const Facts& f, Language l) {
  if (f.work.steal_share < kSteal) return {};
  return Judgement{say(l, "the hypervisor took {:.0f} % of our CPUs' time", "虚拟化层占走了 {:.0f} % 的 CPU 时间",
                       100 * f.work.steal_share),
                   say(l, "other guests use this host's cores: move to dedicated cores or a quieter host",
                       "宿主机的核心被其他虚拟机占用：换用独占核心或负载更低的宿主机"),
                   without(f.work.steal_share)};
}

Judged waiting(const Facts& f, Language l) {
  // Too many threads of our own wait for each other: another rule's finding, and mending that comes first.
  if (f.threads > f.allowed_cpus || f.work.seconds <= 0) return {};
  const double share = (f.work.run_delay_seconds - f.work.throttled_seconds) / thread_seconds(f);
  if (share < kRunDelay) return {};
  return Judgement{
      say(l, "our threads waited {:.0f} % of the time for a CPU that another process used",
          "我们的线程有 {:.0f} % 的时间在等待被其他进程占用的 CPU", 100 * std::min(share, 1.0)),
      say(l, "stop the other process, give it other CPUs (taskset), or use --priority high or fewer --threads",
          "停止其他进程、把它移到其他 CPU（taskset），或使用 --priority high 或更小的 --threads"),
      without(share)};
}

Judged too_many_threads(const Facts& f, Language l) {
  if (f.threads <= f.suggested_threads) return {};
  const double cpus = std::min<double>(f.allowed_cpus, f.cpu_quota.value_or(f.allowed_cpus));
  // Every phase ends when the last thread ends. Beyond the physical cores alone little is lost.
  std::optional<double> gain;
  if (f.threads > cpus) gain = f.threads / std::max(1.0, std::floor(cpus));
  return Judgement{say(l, "{} threads; {} CPUs are allowed on {} cores, quota {}",
                       "{} 个线程；允许使用 {} 个 CPU（{} 个核心），配额 {}", f.threads, f.allowed_cpus,
                       f.physical_cores, f.cpu_quota ? fmt::format("{:.3g}", *f.cpu_quota) : "-"),
                   say(l, "--threads {}", "--threads {}", f.suggested_threads), gain};
}

Judged too_few_threads(const Facts& f, Language l) {
  if (f.threads >= f.suggested_threads) return {};
  return Judgement{
      say(l, "{} threads where {} may run", "使用了 {} 个线程，可用 {} 个", f.threads, f.suggested_threads),
      say(l, "--threads {}", "--threads {}", f.suggested_threads),
      static_cast<double>(f.suggested_threads) / std::max(1, f.threads)};
}

Judged part_of_machine(const Facts& f, Language l) {
  const double may = std::min<double>(f.allowed_cpus, f.cpu_quota.value_or(f.allowed_cpus));
  if (f.threads > f.suggested_threads || may > 0.75 * f.logical_cpus) return {};
  return Judgement{say(l, "{:.3g} of this machine's {} CPUs may be used", "本机有 {1} 个 CPU，只允许使用 {0:.3g} 个",
                       may, f.logical_cpus),
                   f.cpu_quota && *f.cpu_quota < f.allowed_cpus
                       ? say(l, "raise the CPU quota of the container or cgroup, if the machine is yours",
                             "如果机器归你使用，提高容器或 cgroup 的 CPU 配额")
                       : say(l, "widen the affinity mask (taskset, cpuset), if the machine is yours",
                             "如果机器归你使用，放宽亲和性掩码（taskset、cpuset）"),
                   f.logical_cpus / std::max(1.0, may)};
}

Judged weak_isa(const Facts& f, Language l) {
  if (f.isa == f.best_isa || f.isa.empty() || f.best_isa.empty()) return {};
  std::optional<double> gain;
  if (f.int8_gops > 0 && f.best_int8_gops > f.int8_gops) gain = f.best_int8_gops / f.int8_gops;
  return Judgement{say(l, "{} kernels ({:.0f} int8 Gop/s) where the CPU has {} ({:.0f})",
                       "使用 {} 内核（int8 {:.0f} Gop/s），而 CPU 支持 {}（{:.0f}）", f.isa, f.int8_gops, f.best_isa,
                       f.best_int8_gops),
                   say(l, "--isa auto", "--isa auto"), gain};
}

Judged swapping(const Facts& f, Language l) {
  const int64_t pages = f.work.swap_ins;
  // The counter is the machine's: without a fault of our own, it was not our memory.
  if (pages < 16 || f.work.major_faults == 0) return {};
  return Judgement{
      say(l, "{} pages came back from swap during the run, {} of them or of files for us",
          "运行期间有 {} 页从交换区读回，其中我们等待了 {} 页（含文件页）", pages, f.work.major_faults),
      say(l, "free memory, or use a smaller model, type or --ctx; --memory-limit refuses what does not fit",
          "释放内存，或使用更小的模型、类型或 --ctx；--memory-limit 会拒绝放不下的内容"),
      without(static_cast<double>(f.work.major_faults) * kFaultSeconds / std::max(1e-9, f.work.seconds))};
}

Judged faulting(const Facts& f, Language l) {
  const double lost = static_cast<double>(f.work.major_faults) * kFaultSeconds;
  if (f.work.swap_ins >= 16 || f.work.seconds <= 0 || lost < kFaultShare * f.work.seconds) return {};
  return Judgement{say(l, "{} pages of files were read from disk during the run", "运行期间从磁盘读取了 {} 页文件内容",
                       f.work.major_faults),
                   say(l, "the page cache does not hold the model: free memory or raise the cgroup's memory limit",
                       "页缓存放不下模型：释放内存，或提高 cgroup 的内存上限"),
                   without(lost / f.work.seconds)};
}

Judged cold_file(const Facts& f, Language l) {
  const double lost = static_cast<double>(f.load.major_faults) * kFaultSeconds;
  if (!f.run || f.load.seconds <= 0 || lost < 0.1 * f.load.seconds) return {};
  return Judgement{say(l, "{} pages of the model were read from disk while loading ({:.0f} ms)",
                       "加载时从磁盘读取了 {} 页模型内容（{:.0f} ms）", f.load.major_faults, f.run->load_ms),
                   say(l, "the next start finds them in memory; keep some memory free for the page cache",
                       "下次启动时它们已在内存中；请为页缓存留出内存"),
                   without(lost / f.load.seconds)};
}

Judged cold_pack(const Facts& f, Language l) {
  if (!f.run || !f.run->packing_ms || *f.run->packing_ms < 0.1 * f.run->load_ms) return {};
  return Judgement{
      say(l, "weights were packed at this start: {:.0f} of {:.0f} ms",
          "本次启动时打包了权重：{1:.0f} ms 中的 {0:.0f} ms", *f.run->packing_ms, f.run->load_ms),
      f.run->cache_enabled
          ? say(l, "the pack is kept: the next start uses it", "打包结果已保存，下次启动会直接使用")
          : say(l, "leave out --no-cache, so that packed weights are kept", "去掉 --no-cache，让打包结果得以保存"),
      without(*f.run->packing_ms / std::max(1e-9, f.run->load_ms))};
}

// The part of all prompt tokens that is lost, if it is worth a word.
std::optional<double> lost_reuse(const Facts& f, int64_t (*tokens)(const ReuseFacts&)) {
  if (!f.reuse || f.reuse->requests < kLeastRequests || f.reuse->prompt_tokens <= 0) return {};
  const double share = static_cast<double>(tokens(*f.reuse)) / static_cast<double>(f.reuse->prompt_tokens);
  return share < kReuse ? std::nullopt : std::optional(share);
}

// Begun alike and yet not cached: switched off, given up for lack of memory, or lost with an earlier process.
Judged cold_cache(const Facts& f, Language l) {
  const auto share = lost_reuse(
      f, [](const ReuseFacts& r) { return r.same_start_tokens - std::min(r.cached_tokens, r.same_start_tokens); });
  if (!share) return {};
  const ReuseFacts& reuse = *f.reuse;
  std::string fix;
  if (!reuse.prefix_cache) {
    fix = say(l, "--prefix-cache", "--prefix-cache");
  } else if (reuse.evicted_blocks > 0) {
    fix = say(l, "the cache in memory gave up {} blocks: raise --kv-max-bytes{}",
              "内存缓存丢弃了 {} 个块：调大 --kv-max-bytes{}", reuse.evicted_blocks,
              reuse.persist ? say(l, " and --prefix-cache-max-bytes", " 和 --prefix-cache-max-bytes")
                            : say(l, ", or keep them on disk with --kv-persist", "，或用 --kv-persist 保存到磁盘"));
  } else if (!reuse.persist) {
    fix = say(l, "--kv-persist keeps prompts over a restart", "--kv-persist 可在重启后保留提示的缓存");
  } else {
    fix = say(l, "requests with one start came at once, or just after a start: send one of them ahead",
              "开头相同的请求同时到达或在启动后立即到达：先发送其中一个");
  }
  return Judgement{
      say(l, "{:.0f} % of {} prompt tokens began as in a recent prompt and were computed again",
          "{1} 个提示 token 中有 {0:.0f} % 与近期提示开头相同却被重新计算", 100 * *share, reuse.prompt_tokens),
      std::move(fix), without(*share)};
}

// The same text, but behind something else: no prefix is shared.
Judged changing_start(const Facts& f, Language l) {
  const auto share = lost_reuse(f, [](const ReuseFacts& r) { return r.repeated_tokens - r.same_start_tokens; });
  if (!share) return {};
  return Judgement{
      say(l, "{:.0f} % of {} prompt tokens stood in a recent prompt, but behind a different start",
          "{1} 个提示 token 中有 {0:.0f} % 在近期提示中出现过，但前面的内容不同", 100 * *share, f.reuse->prompt_tokens),
      say(l, "put what changes (date, names, ids, the user's documents) behind what stays the same",
          "把会变化的内容（日期、姓名、编号、用户文档）放到不变内容之后"),
      without(*share)};
}

// The part of its requests' time that a server let them wait, if it is worth a word.
std::optional<double> queued_share(const Facts& f) {
  if (!f.server || f.server->requests < kLeastRequests || f.server->request_seconds <= 0) return {};
  const double share = f.server->queue_seconds / f.server->request_seconds;
  return share < kQueued ? std::nullopt : std::optional(share);
}

std::string queued_evidence(const Facts& f, Language l, double share) {
  return say(l, "{} requests waited {:.0f} % of their time; {:.1f} are computed in a step, {} wait now",
             "{} 个请求有 {:.0f} % 的时间在排队；每步计算 {:.1f} 个请求，当前有 {} 个在等待", f.server->requests,
             100 * share, f.server->batch, f.server->waiting);
}

Judged queueing(const Facts& f, Language l) {
  const auto share = queued_share(f);
  if (!share || f.server->batch < kSmallBatch) return {};
  return Judgement{
      queued_evidence(f, l, *share),
      say(l, "more machines or a smaller model; a larger --max-batch-size, if memory allows, or shorter answers",
          "增加机器或使用更小的模型；内存允许时调大 --max-batch-size，或缩短回答"),
      without(*share)};
}

// They wait although there would be room beside the one that is computed.
Judged small_batches(const Facts& f, Language l) {
  const auto share = queued_share(f);
  if (!share || f.server->batch >= kSmallBatch) return {};
  return Judgement{queued_evidence(f, l, *share),
                   say(l, "--batching continuous and a larger --max-batch-size: requests are computed together",
                       "使用 --batching continuous 并调大 --max-batch-size：让请求一起计算"),
                   without(*share)};
}

Judged full_queue(const Facts& f, Language l) {
  if (!f.server || f.server->refused == 0) return {};
  const int64_t all = f.server->requests + f.server->refused;
  const double share = static_cast<double>(f.server->refused) / static_cast<double>(all);
  if (share < kRefused) return {};
  return Judgement{say(l, "{} of {} requests were told 429: the queue was full",
                       "{1} 个请求中有 {0} 个因队列已满收到 429", f.server->refused, all),
                   say(l, "more machines or a smaller model; --max-queue, if waiting is better than being refused",
                       "增加机器或使用更小的模型；如果等待好于被拒绝，调大 --max-queue"),
                   std::nullopt};
}

Judged preempting(const Facts& f, Language l) {
  if (!f.server || f.server->requests < kLeastRequests) return {};
  const double share = static_cast<double>(f.server->preemptions) / static_cast<double>(f.server->requests);
  if (share < kPreempted) return {};
  return Judgement{say(l, "requests were set back {} times in {} for lack of KV blocks; {:.0f} % are in use now",
                       "{1} 个请求共有 {0} 次因 KV 块不足被换下；当前使用率 {2:.0f} %", f.server->preemptions,
                       f.server->requests, 100 * f.server->kv_share),
                   say(l, "raise --kv-max-bytes, or lower --max-batch-size or the --max-tokens that clients ask for",
                       "调大 --kv-max-bytes，或减小 --max-batch-size 或客户端请求的 max_tokens"),
                   std::nullopt};
}

// What a stage that lost time asks for.
std::string slow_fix(const SlowRequest& slow, Language l) {
  if (slow.stage == "network") {
    return say(l, "its body came slowly: look at the client and at what stands between",
               "请求体到达得慢：检查客户端以及中间的代理和网络");
  }
  if (slow.stage == "prepare") {
    return say(
        l,
        "template, tokens or grammar took long, or others' did: a smaller prompt or schema; one schema for "
        "many requests is compiled once",
        "模板、分词或语法编译（或排在前面的请求的）耗时长：缩短提示或 schema；多个请求共用一个 schema 只编译一次");
  }
  if (slow.stage == "queue") {
    return say(l, "others ran: a larger --max-batch-size, shorter answers, or limits by key (concurrent=)",
               "其他请求正在运行：调大 --max-batch-size，缩短回答，或按密钥限制并发（concurrent=）");
  }
  if (slow.stage == "serialization") {
    return say(l, "its client read slowly: look at the client and at what stands between",
               "客户端读取得慢：检查客户端以及中间的代理和网络");
  }
  if (slow.preemptions > 0) {
    return say(l, "it was set back {} times for lack of KV blocks: raise --kv-max-bytes",
               "它因 KV 块不足被换下 {} 次：调大 --kv-max-bytes", slow.preemptions);
  }
  return say(l,
             "other requests or processes used the machine meanwhile: /debug/trace and `autoglm doctor MODEL` show "
             "which",
             "当时其他请求或进程占用了机器：用 /debug/trace 和 `autoglm doctor 模型` 查看");
}

Judged slow_request(const Facts& f, Language l) {
  if (!f.slow) return {};
  const SlowRequest& slow = *f.slow;
  const double lost = slow.stage_seconds - slow.expected_seconds;
  return Judgement{
      say(l,
          "{} ({}, {} prompt tokens computed, {} written): {:.0f} of its {:.0f} ms in {}, where {} others would have "
          "taken {:.0f}",
          "{}（{}，计算了 {} 个提示 token，生成 {} 个）：{:.0f} / {:.0f} ms 用于 {}，而其他 {} 个请求同样的工作约需 "
          "{:.0f} ms",
          slow.id, slow.route, slow.computed_tokens, slow.answer_tokens, 1e3 * slow.stage_seconds, 1e3 * slow.seconds,
          slow.stage, slow.compared, 1e3 * slow.expected_seconds),
      slow_fix(slow, l), without(lost / std::max(1e-9, slow.seconds))};
}

Judged exact_path(const Facts& f, Language l) {
  if (!f.run || !f.run->exact || f.run->weight_bits > 16) return {};
  return Judgement{say(l, "--precision f32 on weights of {:.1f} bits", "对 {:.1f} 位的权重使用了 --precision f32",
                       f.run->weight_bits),
                   say(l, "--precision auto (int8 activations)", "--precision auto（int8 激活）"), std::nullopt};
}

Judged slow_clock(const Facts& f, Language l) {
  const bool powersave = f.governor == "powersave" || f.governor == "conservative";
  if (f.clock_share > 0.9 && !powersave) return {};
  return Judgement{say(l, "clock permitted up to {:.0f} % of what the CPU can do, governor {}",
                       "允许的最高频率为 CPU 能力的 {:.0f} %，调速策略 {}", 100 * f.clock_share,
                       f.governor.empty() ? "-" : f.governor),
                   say(l, "cpupower frequency-set -g performance, and lift scaling_max_freq",
                       "执行 cpupower frequency-set -g performance，并提高 scaling_max_freq"),
                   f.clock_share <= 0.9 ? std::optional(1.0 / std::max(0.05, f.clock_share)) : std::nullopt};
}

Judged small_pages(const Facts& f, Language l) {
  if (f.huge_pages != "never") return {};
  return Judgement{say(l, "transparent huge pages are switched off", "透明大页已关闭"),
                   say(l, "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
                       "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled"),
                   std::nullopt};
}

double decode_share(const Facts& f) { return f.run && f.read_gbps > 0 ? f.run->decode_gbps / f.read_gbps : 0; }

Judged memory_bound(const Facts& f, Language l) {
  const double share = decode_share(f);
  if (share < kDecodeBound || f.run->exact) return {};
  // Q4_K_M and its like have 4.8 bits a weight, the smallest type that keeps most of the quality.
  constexpr double kGoodBits = 4.8;
  const bool smaller_type = f.run->weight_bits > 5.5;
  return Judgement{say(l, "decoding reads {:.1f} GB/s, {:.0f} % of memory bandwidth; {:.1f} bits a weight",
                       "解码每秒读取 {:.1f} GB，为内存带宽的 {:.0f} %；每个权重 {:.1f} 位", f.run->decode_gbps,
                       100 * std::min(share, 1.0), f.run->weight_bits),
                   smaller_type ? say(l, "a smaller type such as Q4_K_M", "换用更小的类型，例如 Q4_K_M")
                                : say(l, "near the roof: a smaller model, or faster memory",
                                      "已接近上限：换用更小的模型或更快的内存"),
                   smaller_type ? std::optional(f.run->weight_bits / kGoodBits) : std::nullopt};
}

Judged compute_bound(const Facts& f, Language l) {
  const double share = decode_share(f);
  if (share <= 0 || share >= kDecodeBound || f.run->exact) return {};
  return Judgement{
      say(l, "decoding reads {:.1f} GB/s, {:.0f} % of memory bandwidth: arithmetic and waiting bound it",
          "解码每秒读取 {:.1f} GB，为内存带宽的 {:.0f} %：受计算和等待限制", f.run->decode_gbps, 100 * share),
      say(l, "mend what stands above; small models have small matrices, where threads wait for each other",
          "先解决上面列出的问题；小模型的矩阵小，线程更多时间在互相等待"),
      kDecodeReach / share};
}

Judged slow_prefill(const Facts& f, Language l) {
  if (!f.run || f.run->exact || f.int8_gops <= 0 || f.run->weight_bits > 15) return {};  // BF16 has another roof
  const double share = f.run->prefill_gops / f.int8_gops;
  if (share <= 0 || share >= kPrefillReach / 2) return {};
  return Judgement{
      say(l, "prompts use {:.0f} of {:.0f} int8 Gop/s, {:.0f} %",
          "提示处理用到 {:.0f} / {:.0f} int8 Gop/s，即 {:.0f} %", f.run->prefill_gops, f.int8_gops, 100 * share),
      say(l, "mend what stands above; `autoglm bench` shows it with longer prompts",
          "先解决上面列出的问题；`autoglm bench` 用更长的提示测量"),
      kPrefillReach / share};
}

constexpr Rule kRules[] = {
    {"quota_throttling", {"stopped by the CPU quota", "被 CPU 配额暂停"}, "all", throttled},
    {"steal", {"the host gives our CPUs to others", "宿主机把 CPU 给了其他虚拟机"}, "all", stolen},
    {"run_queue", {"other processes use our CPUs", "其他进程占用 CPU"}, "all", waiting},
    {"too_many_threads", {"more threads than CPUs", "线程数多于 CPU"}, "all", too_many_threads},
    {"too_few_threads", {"CPUs are left idle", "有 CPU 空闲"}, "prefill", too_few_threads},
    {"part_of_machine", {"a part of the machine", "只能使用机器的一部分"}, "prefill", part_of_machine},
    {"isa", {"instructions below what the CPU has", "没有使用 CPU 支持的最好指令集"}, "prefill", weak_isa},
    {"swapping", {"memory comes back from swap", "内存被换出"}, "all", swapping},
    {"major_faults", {"files are read from disk again and again", "反复从磁盘读取文件"}, "all", faulting},
    {"cold_file", {"the model was not in memory", "模型不在内存中"}, "start", cold_file},
    {"cold_pack", {"weights were packed at this start", "本次启动时打包权重"}, "start", cold_pack},
    {"cold_cache",
     {"prompts that were computed before are computed again", "重复计算已经算过的提示"},
     "prefill",
     cold_cache},
    {"changing_start", {"prompts change at their start", "提示的开头在变化"}, "prefill", changing_start},
    {"queueing", {"requests wait for their turn", "请求在排队"}, "all", queueing},
    {"small_batches", {"requests wait and are computed one by one", "请求在排队却逐个计算"}, "all", small_batches},
    {"full_queue", {"requests are refused", "请求被拒绝"}, "all", full_queue},
    {"preemption", {"requests are set back for lack of memory", "请求因内存不足被换下"}, "all", preempting},
    {"slow_request", {"one request was slow", "有一个请求特别慢"}, "request", slow_request},
    {"exact_precision", {"the exact path is slow", "精确路径较慢"}, "all", exact_path},
    {"clock", {"the clock is held down", "频率被限制"}, "all", slow_clock},
    {"huge_pages", {"no huge pages", "没有大页"}, "decode", small_pages},
    {"memory_bandwidth", {"bound by memory bandwidth", "受内存带宽限制"}, "decode", memory_bound, true},
    {"below_bandwidth", {"below memory bandwidth", "没有达到内存带宽"}, "decode", compute_bound, true},
    {"below_int8_roof", {"below the int8 roof", "没有达到 int8 上限"}, "prefill", slow_prefill, true},
};

}  // namespace

std::span<const Rule> doctor_rules() { return kRules; }

std::vector<Finding> diagnose(const Facts& facts, Language language) {
  std::vector<Finding> findings;
  for (const Rule& rule : kRules) {
    std::optional<Judgement> judged = rule.judge(facts, language);
    if (!judged) continue;
    Finding finding{.cause = rule.cause,
                    .title = std::string(rule.title.in(language)),
                    .evidence = std::move(judged->evidence),
                    .fix = std::move(judged->fix),
                    .gain = judged->gain,
                    .bound = rule.bound,
                    .of = rule.of};
    const auto goes_before = [](const Finding& a, const Finding& b) {
      return a.bound != b.bound ? b.bound : a.gain > b.gain;  // no gain is the least
    };
    const auto place = std::ranges::upper_bound(findings, finding, goes_before);
    findings.insert(place, std::move(finding));
  }
  return findings;
}

}  // namespace autoglm
