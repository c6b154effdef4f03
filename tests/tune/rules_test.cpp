// Every rule of the doctor: a fault is put into the facts of a healthy machine and must be named, it alone.
#include "tune/rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <set>

namespace autoglm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// Eight cores of our own and a model near both roofs' reach.
Facts healthy() {
  Facts facts;
  facts.threads = facts.suggested_threads = facts.allowed_cpus = facts.logical_cpus = facts.physical_cores = 8;
  facts.isa = facts.best_isa = "avx512";
  facts.int8_gops = facts.best_int8_gops = 4000;
  facts.read_gbps = 100;
  facts.huge_pages = "madvise";
  facts.load.seconds = 1;
  facts.work.seconds = 2;
  facts.run = RunFacts{.prefill_tps = 1000,
                       .decode_tps = 50,
                       .prefill_gops = 2600,
                       .decode_gbps = 55,
                       .weight_bits = 4.5,
                       .exact = false,
                       .load_ms = 1000,
                       .packing_ms = {},
                       .cache_enabled = true};
  return facts;
}

std::vector<std::string> causes(const Facts& facts) {
  std::vector<std::string> names;
  for (const Finding& finding : diagnose(facts, Language::en)) names.emplace_back(finding.cause);
  return names;
}

struct Fault {
  std::string cause;
  std::function<void(Facts&)> inject;
  std::string evidence;  // must be in it
  double gain;           // 0: none can be predicted
};

/// Ten requests of 1,000 tokens; what was repeated began the prompts, if nothing else is said.
ReuseFacts reused(ReuseFacts facts) {
  facts.requests = 10;
  facts.prompt_tokens = 10000;
  facts.repeated_tokens = std::max(facts.repeated_tokens, facts.same_start_tokens);
  return facts;
}

/// A hundred requests of a second each.
ServerFacts served(ServerFacts facts) {
  facts.requests = 100;
  facts.request_seconds = 100;
  return facts;
}

const std::vector<Fault>& faults() {
  static const std::vector<Fault> all = {
      {"quota_throttling",
       [](Facts& f) {
         f.work.periods = 20;
         f.work.throttled_periods = 12;
         f.work.throttled_seconds = 8;  // of 16 thread seconds
       },
       "12 of 20", 2.0},
      {"steal", [](Facts& f) { f.work.steal_share = 0.2; }, "20 %", 1.25},
      {"run_queue", [](Facts& f) { f.work.run_delay_seconds = 8; }, "50 %", 2.0},
      {"too_many_threads", [](Facts& f) { f.threads = 32; }, "32 threads", 4.0},
      {"too_few_threads", [](Facts& f) { f.threads = 2; }, "2 threads where 8", 4.0},
      {"part_of_machine", [](Facts& f) { f.logical_cpus = 32; }, "8 of this machine's 32", 4.0},
      {"isa",
       [](Facts& f) {
         f.isa = "avx2";
         f.best_int8_gops = 12000;
       },
       "avx2 kernels", 3.0},
      {"swapping",
       [](Facts& f) {
         f.work.swap_ins = 5000;
         f.work.major_faults = 5000;
       },
       "5000 pages", 1 / 0.75},
      {"major_faults", [](Facts& f) { f.work.major_faults = 10000; }, "10000 pages", 2.0},
      {"cold_file", [](Facts& f) { f.load.major_faults = 5000; }, "5000 pages", 2.0},
      {"cold_pack", [](Facts& f) { f.run->packing_ms = 800; }, "800 of 1000 ms", 5.0},
      {"cold_cache",
       [](Facts& f) { f.reuse = reused({.cached_tokens = 1000, .same_start_tokens = 6000, .persist = false}); },
       "50 % of 10000", 2.0},
      {"changing_start", [](Facts& f) { f.reuse = reused({.repeated_tokens = 7500}); }, "75 % of 10000", 4.0},
      {"queueing", [](Facts& f) { f.server = served({.queue_seconds = 50, .batch = 8}); }, "waited 50 %", 2.0},
      {"small_batches", [](Facts& f) { f.server = served({.queue_seconds = 75, .batch = 1.2}); }, "1.2 are computed",
       4.0},
      {"full_queue", [](Facts& f) { f.server = served({.batch = 4, .refused = 30}); }, "30 of 130", 0},
      {"preemption", [](Facts& f) { f.server = served({.batch = 4, .preemptions = 9}); }, "9 times in 100", 0},
      {"slow_request",
       [](Facts& f) {
         f.slow = SlowRequest{.id = "req-7",
                              .route = "/v1/completions",
                              .stage = "queue",
                              .seconds = 4,
                              .stage_seconds = 3,
                              .expected_seconds = 0.08,
                              .compared = 9};
       },
       "req-7", 1 / (1 - 2.92 / 4)},
      {"exact_precision", [](Facts& f) { f.run->exact = true; }, "--precision f32", 0},
      {"clock", [](Facts& f) { f.clock_share = 0.5; }, "50 %", 2.0},
      {"clock", [](Facts& f) { f.governor = "powersave"; }, "powersave", 0},
      {"huge_pages", [](Facts& f) { f.huge_pages = "never"; }, "huge pages", 0},
      {"memory_bandwidth",
       [](Facts& f) {
         f.run->decode_gbps = 90;
         f.run->weight_bits = 9.6;
       },
       "90 % of memory bandwidth", 2.0},
      {"memory_bandwidth", [](Facts& f) { f.run->decode_gbps = 90; }, "4.5 bits", 0},
      {"below_bandwidth", [](Facts& f) { f.run->decode_gbps = 30; }, "30 % of memory bandwidth", 3.0},
      {"below_int8_roof", [](Facts& f) { f.run->prefill_gops = 1000; }, "1000 of 4000", 2.6},
  };
  return all;
}

// Decoding at 55 % of the bandwidth is itself a finding, so the healthy machine of each rule's test is the one where
// that is not judged.
Facts without_bandwidth() {
  Facts facts = healthy();
  facts.read_gbps = 0;
  return facts;
}

TEST(Doctor, FindsNothingOnAHealthyMachine) {
  EXPECT_THAT(causes(without_bandwidth()), IsEmpty());
  Facts machine_alone = without_bandwidth();
  machine_alone.run.reset();
  EXPECT_THAT(causes(machine_alone), IsEmpty());
  EXPECT_THAT(causes(Facts{}), IsEmpty()) << "nothing known, nothing said";
}

TEST(Doctor, NamesEachInjectedFaultAndNoOther) {
  for (const Fault& fault : faults()) {
    const bool needs_roof = fault.cause == "memory_bandwidth" || fault.cause == "below_bandwidth";
    Facts facts = needs_roof ? healthy() : without_bandwidth();
    fault.inject(facts);
    const std::vector<Finding> findings = diagnose(facts, Language::en);
    ASSERT_THAT(causes(facts), ElementsAre(fault.cause));
    EXPECT_THAT(findings[0].evidence, HasSubstr(fault.evidence));
    EXPECT_NE(findings[0].fix, "");
    EXPECT_NE(findings[0].title, "");
    ASSERT_EQ(findings[0].gain.has_value(), fault.gain > 0) << fault.cause;
    if (fault.gain > 0) {
      EXPECT_NEAR(*findings[0].gain, fault.gain, 0.01) << fault.cause;
    }
    const std::vector<Finding> chinese = diagnose(facts, Language::zh);
    ASSERT_EQ(chinese.size(), 1U);
    EXPECT_EQ(chinese[0].cause, findings[0].cause);
    EXPECT_NE(chinese[0].title, findings[0].title);
    EXPECT_NE(chinese[0].evidence, findings[0].evidence);
  }
}

TEST(Doctor, EveryRuleHasAFaultThatShowsIt) {
  std::set<std::string_view> tested;
  for (const Fault& fault : faults()) tested.insert(fault.cause);
  for (const Rule& rule : doctor_rules()) EXPECT_TRUE(tested.contains(rule.cause)) << rule.cause;
  EXPECT_EQ(tested.size(), doctor_rules().size());
}

TEST(Doctor, AColdCacheIsMendedByWhatMadeItCold) {
  Facts facts = without_bandwidth();
  const auto fix = [&](const ReuseFacts& reuse) {
    facts.reuse = reused(reuse);
    const std::vector<Finding> findings = diagnose(facts, Language::en);
    return findings.size() == 1 && findings[0].cause == "cold_cache" ? findings[0].fix : "no such finding";
  };
  EXPECT_EQ(fix({.same_start_tokens = 6000, .prefix_cache = false}), "--prefix-cache");
  EXPECT_THAT(fix({.same_start_tokens = 6000, .evicted_blocks = 70, .persist = false}),
              HasSubstr("or keep them on disk"));
  EXPECT_THAT(fix({.same_start_tokens = 6000, .evicted_blocks = 70}), HasSubstr("--prefix-cache-max-bytes"));
  EXPECT_THAT(fix({.same_start_tokens = 6000, .persist = false}), HasSubstr("--kv-persist"));
  EXPECT_THAT(fix({.same_start_tokens = 6000}), HasSubstr("came at once"));
  EXPECT_EQ(fix({.cached_tokens = 5000, .same_start_tokens = 6000}), "no such finding");
  EXPECT_EQ(fix({.cached_tokens = 9000, .same_start_tokens = 6000}), "no such finding") << "from long ago";
  facts.reuse = ReuseFacts{.requests = 3, .prompt_tokens = 100, .same_start_tokens = 90, .repeated_tokens = 90};
  EXPECT_THAT(causes(facts), IsEmpty()) << "too few to tell";
  facts.reuse = ReuseFacts{};
  EXPECT_THAT(causes(facts), IsEmpty());
}

TEST(Doctor, PutsTheLargestGainFirstAndTheUnknownLast) {
  Facts facts = without_bandwidth();
  for (const Fault& fault : faults()) {
    if (fault.cause == "steal" || fault.cause == "isa" || fault.cause == "huge_pages") fault.inject(facts);
  }
  EXPECT_THAT(causes(facts), ElementsAre("isa", "steal", "huge_pages"));
  facts.run->prefill_gops = 10;  // 65 times as fast, if everything else were well
  EXPECT_THAT(causes(facts), ElementsAre("isa", "steal", "huge_pages", "below_int8_roof"));
}

TEST(Doctor, OurOwnThreadsAreNotAnotherProcess) {
  Facts facts = without_bandwidth();
  facts.threads = 32;  // on 8 CPUs they wait for each other
  facts.work.run_delay_seconds = 40;
  EXPECT_THAT(causes(facts), ElementsAre("too_many_threads"));
  facts = without_bandwidth();
  facts.work.periods = 20;
  facts.work.throttled_periods = 10;
  facts.work.throttled_seconds = 8;
  facts.work.run_delay_seconds = 8;  // the kernel counts stopped threads as waiting
  EXPECT_THAT(causes(facts), ElementsAre("quota_throttling"));
}

TEST(Doctor, SwapOfOthersIsNotOurs) {
  Facts facts = without_bandwidth();
  facts.work.swap_ins = 100000;
  EXPECT_THAT(causes(facts), IsEmpty());
}

}  // namespace
}  // namespace autoglm
