// The prefix cache on real layers: tiny models with plain, windowed, latent and expert layers, with every type of keys
// and values. What is computed on top of reused blocks has the bits of what is computed from the start.
#include <gtest/gtest.h>

#include "engine/tiny_models.h"

namespace autoglm {
namespace {

using test::expect_same_bits;
using test::Heard;
using test::TinyModel;

const TinyModel kModels[] = {
    {"llama-a", Precision::automatic, KvType::q8},         {"llama-a", Precision::automatic, KvType::bf16},
    {"llama-a", Precision::automatic, KvType::f16},        {"glm4_moe_lite-a", Precision::automatic, KvType::f16},
    {"llama-a", Precision::automatic, KvType::q4},         {"glm4_moe_lite-a", Precision::automatic, KvType::q4},
    {"gemma3-a", Precision::automatic, KvType::q4},        {"llama-a", Precision::f32, KvType::f32},
    {"gemma3-a", Precision::automatic, KvType::q8},        {"glm4-a", Precision::automatic, KvType::q8},
    {"glm4_moe_lite-a", Precision::automatic, KvType::q8}, {"qwen3_moe-a", Precision::automatic, KvType::q8}};

class PrefixReuse : public test::TinyModelTest {
 protected:
  Heard alone(const Request& asked) {
    Engine engine(*model_, tokenizer_, {}, {.policy = {.prefix_cache = false}});
    Heard heard;
    engine.submit(asked, heard.sink());
    while (engine.has_work()) engine.step();
    return heard;
  }
};

TEST_P(PrefixReuse, LeavesEveryBit) {
  Engine engine(*model_, tokenizer_, {}, {.max_sequences = 4});
  std::vector<Request> asked;
  for (uint64_t seed = 1; seed <= 8; ++seed)
    asked.push_back(request(40, 3 + static_cast<int64_t>(seed) % 5 * 7, seed, 24));
  std::vector<Heard> heard(asked.size());
  for (size_t i = 0; i < asked.size(); ++i) {
    engine.submit(asked[i], heard[i].sink());
    if (i % 3 != 1) engine.step();  // some arrive together, some into the middle of others
  }
  while (engine.has_work()) engine.step();
  int64_t cached = 0;
  for (size_t i = 0; i < asked.size(); ++i) {
    expect_same_bits(heard[i], alone(asked[i]));
    cached += heard[i].usage.cached_tokens;
  }
  EXPECT_GE(cached, 6 * 32) << "the first 32 tokens were computed for one";
  engine.check_integrity();
}

// A conversation: each turn begins with the last one and its answer, drafts and all.
TEST_P(PrefixReuse, LeavesEveryBitOfAConversation) {
  Engine engine(*model_, tokenizer_, {}, {.max_sequences = 1, .speculation = Speculation::always});
  Request turn = request(20, 0, 6, 24);
  for (int i = 0; i < 3; ++i) {
    turn.max_tokens = 20;
    Heard heard;
    engine.submit(turn, heard.sink());
    while (engine.has_work()) engine.step();
    expect_same_bits(heard, alone(turn));
    // All but the last sampled token is stored, and the last token of the prompt is computed again. What was drafted in
    // the step that ends an answer is not kept.
    const int64_t expected = i == 0 ? 0 : (std::ssize(turn.prompt) - 6) / kKvBlock * kKvBlock;
    EXPECT_LE(heard.usage.cached_tokens, expected) << i;
    EXPECT_GE(heard.usage.cached_tokens, expected - kKvBlock) << i;
    turn.prompt.insert(turn.prompt.end(), heard.tokens.begin(), heard.tokens.end());
    for (int32_t t = 0; t < 5; ++t) turn.prompt.push_back(7 + t + i);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, PrefixReuse, testing::ValuesIn(kModels), test::tiny_model_name);

}  // namespace
}  // namespace autoglm
