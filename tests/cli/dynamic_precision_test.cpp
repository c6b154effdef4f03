// What --kv-type auto takes.
#include "cli/dynamic_precision.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>

#include "base/error.h"
#include "base/pool.h"
#include "cli/command_runner.h"
#include "compress/altered_model.h"

namespace autoglm::test {
namespace {

using testing::HasSubstr;

constexpr int64_t kMiB = 1 << 20;

constexpr int64_t token_bytes(KvType type) { return (type == KvType::q8 ? 18 : 10) << 10; }

/// Weights of 100 MiB; a token takes 18 KiB as q8, 10 as q4. The context is the asked one.
KvChoice choose(int64_t tokens, int64_t limit, Language language = Language::en, int64_t kv_max_bytes = 0) {
  const auto held = [&](KvType type) {
    return kv_max_bytes == 0 ? INT64_MAX : kv_max_bytes / (16 * token_bytes(type)) * 16;
  };
  return choose_kv_type({.wanted = tokens,
                         .kv_max_bytes = kv_max_bytes,
                         .held = held,
                         .plan =
                             [&](KvType type) {
                               if (held(type) < tokens) throw Error(Code::bad_flag, "too small, as make_plan() says");
                               MemoryPlan plan;
                               plan.context = tokens;
                               plan.kv_per_token_bytes = token_bytes(type);
                               plan.kv_bytes = plan.kv_per_token_bytes * tokens;
                               plan.total_bytes = 100 * kMiB + plan.kv_bytes;
                               plan.limit_bytes = limit;
                               return plan;
                             }},
                        language);
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

TEST(KvTypeAuto, IsQ4WhereTheKvCacheHoldsTheContextOnlySo) {
  constexpr int64_t kExact = 8192 * token_bytes(KvType::q8);
  EXPECT_EQ(choose(8192, 0, Language::en, kExact).type, KvType::q8);
  const KvChoice choice = choose(8192, 0, Language::en, kExact - 1);
  EXPECT_EQ(choice.type, KvType::q4);
  EXPECT_THAT(choice.reason, HasSubstr("a KV cache of 144 MiB holds 8176 tokens with q8, 14736 with q4, of 8192"));
  EXPECT_NE(choose(8192, 0, Language::zh, kExact - 1).reason, choice.reason);
  EXPECT_EQ(choose(8192, 240 * kMiB, Language::en, kExact).type, KvType::q4) << "memory counts too";
  EXPECT_EQ(choose(8192, 0, Language::en, kMiB).type, KvType::q4) << "what it then lacks, make_plan() says";
}

TEST(KvTypeAuto, ObeysTheKvCacheOfAServer) {
  // SmolLM2: a token takes 12,960 bytes as q8, 7,200 as q4: 2,048 of them 25.3 MiB and 14.1 MiB.
  const auto bench = [](const char* type, const char* bytes) {
    return run_program({"bench",
                        smollm2(),
                        "--workload",
                        "batch",
                        "--requests",
                        "1",
                        "--scale",
                        "0.01",
                        "--tuned",
                        "none",
                        "--max-batch-size",
                        "1",
                        "--no-cache",
                        "--ctx",
                        "2048",
                        "--kv-type",
                        type,
                        "--kv-max-bytes",
                        bytes,
                        "--json"});
  };
  const Outcome both = bench("auto", "26MiB");
  ASSERT_EQ(both.exit_code, 0) << both.err << both.out;
  EXPECT_THAT(both.err, HasSubstr("keys and values q8 (auto: 2048 tokens take"));
  const Outcome only_q4 = bench("auto", "20MiB");
  ASSERT_EQ(only_q4.exit_code, 0) << only_q4.err << only_q4.out;
  EXPECT_THAT(only_q4.err, HasSubstr("keys and values q4 (auto: a KV cache of 20 MiB holds"));
  const nlohmann::json neither = bench("auto", "10MiB").json().at("error");
  EXPECT_EQ(neither.at("code"), "bad_flag");
  EXPECT_THAT(neither.at("message").get<std::string>(), HasSubstr("tokens with --kv-type q4, fewer than one request"));
  EXPECT_THAT(neither.at("hint").get<std::string>(), HasSubstr("--kv-max-bytes 15MiB holds them; --ctx 1"));
  const nlohmann::json q8 = bench("q8", "20MiB").json().at("error");
  EXPECT_EQ(q8.at("code"), "bad_flag");
  EXPECT_THAT(q8.at("hint").get<std::string>(), HasSubstr("--kv-max-bytes 26MiB holds them; --ctx 1"));
  EXPECT_THAT(q8.at("hint").get<std::string>(), HasSubstr("; --kv-type q4 fits"));
  // config says what serve would do.
  const Outcome config = run_program(
      {"config", smollm2(), "--kv-type", "auto", "--ctx", "2048", "--kv-max-bytes", "20MiB", "--no-cache", "--json"});
  ASSERT_EQ(config.exit_code, 0) << config.err << config.out;
  EXPECT_THAT(config.out, HasSubstr("here q4, a KV cache of 20 MiB holds"));
}

TEST(KvTypeAuto, LeavesTheExactReferenceAlone) {
  const Outcome outcome =
      run_program({"compare", smollm2(), smollm2(), std::string(AUTOGLM_TEST_DATA) + "/texts/prose.txt", "--windows",
                   "1", "--no-cache", "--kv-type", "auto"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err << outcome.out;
  EXPECT_THAT(outcome.err, HasSubstr("f32 activations, exact; keys and values f32\n"));
  EXPECT_THAT(outcome.err, HasSubstr("keys and values q8 (auto: "));
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

TEST(PrecisionWords, NameTheTypesOfMatricesAndTheirArithmetic) {
  const auto bf16 = random_source(tiny_llama(), Type::bf16), q8 = random_source(tiny_llama(), Type::q8_0);
  const auto f32 = random_source(tiny_llama(), Type::f32);
  EXPECT_EQ(weight_types(*bf16), "BF16") << "norms are no matrices";
  EXPECT_EQ(activation_words(*bf16, Precision::automatic, "avx512", Language::en),
            "bf16 activations (avx512), for weights in BF16");
  EXPECT_EQ(activation_words(*q8, Precision::automatic, "neon", Language::zh), "int8 激活值（neon），权重为 Q8_0");
  EXPECT_EQ(activation_words(*f32, Precision::automatic, "ref", Language::en),
            "f32 activations (ref), for weights in F32");
  EXPECT_EQ(activation_words(*q8, Precision::f32, "avx2", Language::en), "f32 activations, exact");
  // Types of one model differ; each way is named once.
  TypeRecipe recipe = ShapeTable::built_in().recipe("Q4_K_M");
  WorkerPool pool({.threads = 1});
  const auto mixed = random_model(tiny_llama(), recipe, 1, pool);
  EXPECT_THAT(activation_words(*mixed, Precision::automatic, "avx2", Language::en),
              testing::StartsWith("int8 activations (avx2), for weights in "));
}

}  // namespace
}  // namespace autoglm::test
