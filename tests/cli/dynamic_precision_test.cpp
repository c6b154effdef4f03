// What --kv-type auto takes.
#include "cli/dynamic_precision.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/command_runner.h"

namespace autoglm {
namespace {

using test::Outcome;
using test::run_program;
using test::smollm2;
using testing::HasSubstr;

constexpr int64_t kMiB = 1 << 20;

/// Weights of 100 MiB; a token takes 18 KiB as q8, 10 as q4. The context is the asked one.
KvChoice choose(int64_t tokens, int64_t limit, Language language = Language::en) {
  return choose_kv_type(
      [&](KvType type) {
        MemoryPlan plan;
        plan.context = tokens;
        plan.kv_per_token_bytes = (type == KvType::q8 ? 18 : 10) << 10;
        plan.kv_bytes = plan.kv_per_token_bytes * tokens;
        plan.total_bytes = 100 * kMiB + plan.kv_bytes;
        plan.limit_bytes = limit;
        return plan;
      },
      tokens, language);
}

TEST(KvTypeAuto, IsQ8WhileThatHoldsTheContext) {
  EXPECT_EQ(choose(32768, 16384 * kMiB).type, KvType::q8);
  EXPECT_EQ(choose(32768, 0).type, KvType::q8) << "no limit";
  const KvChoice fits = choose(8192, 250 * kMiB);  // 144 MiB beside 100
  EXPECT_EQ(fits.type, KvType::q8);
  EXPECT_THAT(fits.reason, HasSubstr("8192 tokens take 144 MiB, 250 MiB of memory"));
}

TEST(KvTypeAuto, IsQ4WhereOnlyThatHoldsIt) {
  const KvChoice choice = choose(8192, 240 * kMiB);
  EXPECT_EQ(choice.type, KvType::q4);
  EXPECT_THAT(choice.reason, HasSubstr("244 MiB with q8, 180 MiB with q4, 240 MiB of memory"));
  EXPECT_NE(choose(8192, 240 * kMiB, Language::zh).reason, choice.reason);
}

TEST(KvTypeAuto, IsReportedAndUsed) {
  // SmolLM2: 132 MiB without keys and values, 101 MiB of them for 8,192 tokens as q8.
  const auto bench = [](const char* limit) {
    return run_program({"bench", smollm2(), "--ctx", "8192", "--prompt", "16", "--gen", "1", "--reps", "1",
                        "--no-probe", "--no-cache", "--kv-type", "auto", "--memory-limit", limit, "--json"});
  };
  const Outcome much = bench("1GiB");
  ASSERT_EQ(much.exit_code, 0) << much.err;
  EXPECT_EQ(much.json().at("kv_type"), "q8");
  EXPECT_THAT(much.err, HasSubstr("precision: int8 activations"));
  EXPECT_THAT(much.err, HasSubstr("keys and values q8 (auto: 8192 tokens take"));
  const Outcome little = bench("208MiB");
  ASSERT_EQ(little.exit_code, 0) << little.err;
  EXPECT_EQ(little.json().at("kv_type"), "q4");
  EXPECT_THAT(little.err, HasSubstr("keys and values q4 (auto: 8192 tokens would need"));
  const Outcome inspected =
      run_program({"inspect", smollm2(), "--ctx", "8192", "--kv-type", "auto", "--memory-limit", "208MiB", "--json"});
  EXPECT_EQ(inspected.json().at("memory").at("kv_type"), "q4");
  const Outcome refused = run_program({"bench", smollm2(), "--ctx", "8192", "--prompt", "16", "--gen", "1", "--reps",
                                       "1", "--no-probe", "--no-cache", "--memory-limit", "208MiB", "--json"});
  EXPECT_EQ(refused.exit_code, 4) << "q4 is taken only where it is allowed";
}

}  // namespace
}  // namespace autoglm
