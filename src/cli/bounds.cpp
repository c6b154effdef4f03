#include "cli/bounds.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/ledger.h"
#include "cli/work.h"
#include "kernels/probe.h"

namespace autoglm {

std::optional<Finding> held_up(const Interval& work, int threads) {
  constexpr double kWorthTelling = 1.1;  // times as fast without it
  Facts facts;                           // of a machine without a fault
  facts.threads = facts.suggested_threads = facts.allowed_cpus = facts.physical_cores = facts.logical_cpus = threads;
  facts.work = work;
  for (Finding& finding : diagnose(facts, Language::en)) {
    if (finding.gain.value_or(0) >= kWorthTelling) return std::move(finding);
  }
  return std::nullopt;
}

std::optional<double> read_roof(const Runtime& runtime, int64_t weights) {
  const int64_t bytes = probe_read_bytes(weights);
  const Ledger& ledger = *runtime.ledger;
  if (ledger.limit() > 0 && ledger.total() + bytes > ledger.limit()) return std::nullopt;
  const Reservation memory(*runtime.ledger, MemoryLine::activations, bytes, "the probe of memory bandwidth");
  const double roof = probe_read_gbps(*runtime.pool, runtime.backend->name(), bytes);
  return roof > 0 ? std::optional(roof) : std::nullopt;
}

std::string bounds_line(double tokens_per_second, std::optional<double> share, double bits,
                        const std::optional<Finding>& held) {
  std::string line = fmt::format("{:.1f} tok/s", tokens_per_second);
  if (share) line += fmt::format(", {:.0f} % of memory bandwidth", 100 * std::min(*share, 1.0));
  if (held) {
    const bool processor = held->cause == "run_queue" || held->cause == "quota_throttling" || held->cause == "steal";
    line +=
        fmt::format("; {}{} (`autoglm doctor` says more)", processor ? "waiting for a processor: " : "", held->title);
  } else if (share) {
    line += *share < 0.6 ? "; bound by computing"
            : bits > 5   ? "; a smaller type would help"
                         : "; a smaller model would help";
  }
  return line;
}

std::string what_bounds(const Answer& answer, OpenedModel& opened, const Interval& work) {
  const double speed = answer.decode_tps();
  if (answer.tokens.size() < 8 || speed <= 0) return {};
  const Model& model = *opened.model;
  const TokenWork token = token_work(model.spec(), *opened.source);
  const double middle = static_cast<double>(answer.usage.prompt_tokens) + static_cast<double>(answer.tokens.size()) / 2;
  const double bytes =
      static_cast<double>(token.bytes) + middle * static_cast<double>(model.memory().kv_per_token_bytes);
  const int64_t weights = model.memory().weights_bytes;
  opened.model.reset();
  // Measured after the answer, some 0.1 s, and not remembered: on shared machines the bandwidth changes by a third from
  // one hour to the next, and a share of yesterday's roof would blame the wrong thing.
  std::optional<double> share = read_roof(opened.runtime, weights);
  if (share) {
    // A step reads the weights once, whatever it drafted.
    const auto made = static_cast<double>(answer.tokens.size() - 1);
    const double steps = made - static_cast<double>(answer.usage.accepted_tokens);
    share = speed * std::max(steps, 1.0) / made * bytes / 1e9 / *share;
  }
  return bounds_line(speed, share, token.bits, held_up(work, opened.runtime.pool->size()));
}

}  // namespace autoglm
