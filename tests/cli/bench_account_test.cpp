// The arithmetic behind every figure of `bench`, on numbers that can be checked by hand.
#include "cli/bench_account.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/pool.h"
#include "cli/bench_report.h"
#include "model/families/family.h"
#include "model/random_weights.h"

namespace autoglm {
namespace {

TEST(BenchAccount, PrefillCountsTheHeadAndTheEndOfTheLastLayerOnceAPrompt) {
  const TokenWork work{
      .layer_weights = 1'000'000, .last_weights = 200'000, .head_weights = 500'000, .bytes = 0, .bits = 4};
  // 1,000 prompts of 100 tokens a second: each token 2 x 8e5 operations, each prompt 2 x 7e5 more.
  EXPECT_DOUBLE_EQ(prefill_gops(work, 100, 100'000), (100'000 * 1.6e6 + 1'000 * 1.4e6) / 1e9);
  EXPECT_EQ(prefill_gops(work, 0, 100), 0);
}

TEST(BenchAccount, DecodeReadsWeightsOnceAndEverySequencesKeysAndValues) {
  const StepBytes bytes{.weights = 900e6, .file = 800e6, .resident = 900e6, .kv = 100e6};
  EXPECT_DOUBLE_EQ(decode_gbps(bytes, 1, 10), 10.0);
  EXPECT_DOUBLE_EQ(decode_gbps(bytes, 4, 40), 10.0);  // 10 steps a second of four sequences
}

TEST(BenchAccount, TokensReadGrowWithTheStepAndStopAtTheWindow) {
  EXPECT_DOUBLE_EQ(tokens_read(0, 0, 1), 1);
  EXPECT_DOUBLE_EQ(tokens_read(0, 100, 3), 102);  // 101, 102, 103
  EXPECT_DOUBLE_EQ(tokens_read(102, 100, 3), (101 + 102 + 102) / 3.0);
  EXPECT_DOUBLE_EQ(tokens_read(16, 1000, 5), 16);
  EXPECT_EQ(tokens_read(0, 5, 0), 0);
}

TEST(BenchAccount, SeveralTokensNeedMoreExpertsButNeverMoreThanThereAre) {
  EXPECT_DOUBLE_EQ(experts_read(8, 128, 1), 8.0 / 128);
  EXPECT_DOUBLE_EQ(experts_read(2, 4, 2), 0.75);
  EXPECT_LE(experts_read(8, 128, 1000), 1.0);
  EXPECT_DOUBLE_EQ(experts_read(4, 4, 3), 1.0);
}

TEST(BenchAccount, RoofsOfMixturesAreThoseOfTheirTimes) {
  const Roofs roofs{.int8_gops = 1000, .bf16_gops = 500, .read_gbps_small = 30, .read_gbps_huge = 60, .read_bytes = 1};
  EXPECT_DOUBLE_EQ(arithmetic_roof({.int8 = 1, .bf16 = 0, .f32 = 0}, roofs), 1000);
  EXPECT_DOUBLE_EQ(arithmetic_roof({.int8 = 0, .bf16 = 1, .f32 = 0}, roofs), 500);
  EXPECT_NEAR(arithmetic_roof({.int8 = 0.5, .bf16 = 0.5, .f32 = 0}, roofs), 1 / (0.5 / 1000 + 0.5 / 500), 1e-9);
  EXPECT_EQ(arithmetic_roof({.int8 = 0, .bf16 = 0, .f32 = 1}, roofs), 0);
  EXPECT_EQ(roof_name({.int8 = 1, .bf16 = 0, .f32 = 0}), "int8");
  EXPECT_EQ(roof_name({.int8 = 0, .bf16 = 0, .f32 = 1}), "none");
  EXPECT_NEAR(read_roof(1, roofs), 60, 1e-9);
  EXPECT_NEAR(read_roof(0, roofs), 30, 1e-9);
  EXPECT_NEAR(read_roof(0.5, roofs), 40, 1e-9);  // half the bytes take twice as long as the other half
  EXPECT_EQ(page_kind(0.97), "huge");
  EXPECT_EQ(page_kind(0.5), "mixed");
  EXPECT_EQ(page_kind(0), "small");
}

class BenchWork : public testing::Test {
 protected:
  BenchWork() : pool_({.threads = 1}), backend_(make_backend("auto", pool_)) {}

  StepBytes bytes(const char* type, const BenchShape& shape) {
    make(type);
    return step_bytes(read_spec(*source_), *source_, *backend_, Precision::automatic, KvType::q8, shape);
  }
  void make(const char* type) {
    const ModelShape tiny{"tiny", R"({"model_type":"llama","vocab_size":512,"hidden_size":256,"intermediate_size":512,
"num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":2,"max_position_embeddings":1024,
"rms_norm_eps":1e-5,"rope_theta":10000.0,"tie_word_embeddings":)" +
                                      std::string(tied_ ? "true" : "false") + "}"};
    source_ = random_model(tiny, ShapeTable::built_in().recipe(type), 1, pool_);
  }

  bool tied_ = false;
  WorkerPool pool_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<ModelSource> source_;
};

// A layer: q and output 256 x 256, k and v 128 x 256, gate, up and down 512 x 256.
constexpr double kLayer = 256 * (2 * 256 + 2 * 128 + 3 * 512);

TEST_F(BenchWork, AStepReadsTheHeadOnceAndNotTheEmbedding) {
  const BenchShape shape{.prompt = 8, .gen = 1, .depth = 0, .batch = 1};
  EXPECT_DOUBLE_EQ(bytes("Q8_0", shape).file, (2 * kLayer + 512 * 256) * 34 / 32);
  EXPECT_GE(bytes("Q8_0", shape).weights, 2 * kLayer + 512 * 256);
  tied_ = true;
  EXPECT_DOUBLE_EQ(bytes("Q8_0", shape).file, (2 * kLayer + 512 * 256) * 34 / 32);
}

TEST_F(BenchWork, OfTheLastLayerOnlyKeysAndValuesAreMadeForEveryRow) {
  make("Q8_0");
  const TokenWork work = token_work(read_spec(*source_), *source_);
  EXPECT_DOUBLE_EQ(static_cast<double>(work.layer_weights), 2 * kLayer);
  EXPECT_DOUBLE_EQ(static_cast<double>(work.last_weights), kLayer - 2 * 128 * 256);
  EXPECT_DOUBLE_EQ(work.products(10, 3), 10 * (kLayer + 2 * 128 * 256) + 3 * (kLayer - 2 * 128 * 256 + 512 * 256));
}

TEST_F(BenchWork, KeysAndValuesGrowWithDepthAndBatch) {
  const auto kv = [&](int64_t depth, int64_t batch) {
    return bytes("Q4_0", {.prompt = 8, .gen = 1, .depth = depth, .batch = batch}).kv;
  };
  const double token = kv(0, 1);
  EXPECT_GE(token, 2 * 2 * 2 * 64);  // layers, k and v, heads, bytes
  EXPECT_DOUBLE_EQ(kv(99, 1), 100 * token);
  EXPECT_DOUBLE_EQ(kv(99, 3), 300 * token);
}

TEST_F(BenchWork, ArithmeticFollowsTheTypes) {
  make("Q4_K_M");
  const ArchSpec spec = read_spec(*source_);
  EXPECT_DOUBLE_EQ(arithmetic_of(spec, *source_, Precision::automatic).int8, 1);
  EXPECT_DOUBLE_EQ(arithmetic_of(spec, *source_, Precision::f32).f32, 1);
  make("BF16");
  EXPECT_DOUBLE_EQ(arithmetic_of(spec, *source_, Precision::automatic).bf16, 1);
}

TEST(BenchReport, SharesAreOfTheirOwnRoundsRoof) {
  BenchRounds rounds;
  // The machine is half as fast in the second round, and so are we.
  for (const double speed : {1.0, 0.5, 1.0}) {
    rounds.roofs.push_back({.int8_gops = 1000 * speed,
                            .bf16_gops = 500 * speed,
                            .read_gbps_small = 10 * speed,
                            .read_gbps_huge = 20 * speed,
                            .read_bytes = 1});
    rounds.prefill_tps.push_back(400 * speed);
    rounds.decode_tps.push_back(8 * speed);
    rounds.step_ms.push_back(125 / speed);
  }
  rounds.decode_zones.seconds[static_cast<size_t>(Zone::attention)] = 0.3;
  rounds.decode_zones.calls[static_cast<size_t>(Zone::attention)] = 60;
  rounds.zone_seconds = 1e-5;
  BenchFacts facts;
  facts.shape = {.prompt = 100, .gen = 1, .depth = 0, .batch = 1};
  facts.work = {.layer_weights = 500'000'000, .last_weights = 0, .head_weights = 0, .bytes = 0, .bits = 4};
  facts.bytes = {.weights = 1e9, .file = 1e9, .resident = 1e9, .kv = 0};
  facts.mix = {.int8 = 1, .bf16 = 0, .f32 = 0};
  const nlohmann::json object = bench_json(rounds, facts);
  EXPECT_DOUBLE_EQ(object["prefill_tps"], 400);
  EXPECT_DOUBLE_EQ(object["prefill_tps_min"], 200);
  EXPECT_DOUBLE_EQ(object["prefill_gops"], 400);
  EXPECT_DOUBLE_EQ(object["decode_gbps"], 8);
  EXPECT_DOUBLE_EQ(object["read_gbps"], 10);
  for (const char* key : {"prefill_roof_share", "prefill_roof_share_min", "prefill_roof_share_max"}) {
    EXPECT_DOUBLE_EQ(object[key], 0.4) << key;
  }
  EXPECT_DOUBLE_EQ(object["decode_roof_share_min"], 0.8);
  EXPECT_DOUBLE_EQ(object["decode_roof_share_max"], 0.8);
  EXPECT_EQ(object["weight_pages"], "small");
  EXPECT_DOUBLE_EQ(object["step_ms"], 125);
  EXPECT_DOUBLE_EQ(object["decode_zones"]["attention"], 100);
  EXPECT_DOUBLE_EQ(object["zones_per_step"], 20);
  EXPECT_DOUBLE_EQ(object["zone_share"], 20e-5 / 0.125);
  rounds.prefill_tps.clear();
  EXPECT_TRUE(bench_json(rounds, facts)["prefill_tps"].is_null());
  EXPECT_TRUE(bench_json(rounds, facts)["prefill_roof_share"].is_null());
}

}  // namespace
}  // namespace autoglm
