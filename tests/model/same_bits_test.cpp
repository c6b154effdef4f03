// Decision 5: the same tokens give the same bits, however a prompt is cut, whoever shares the batch, on any number of
// threads, and after a fork, a rejected draft or a block that came back from disk.
#include <cstring>
#include <random>

#include "model/model_support.h"
#include "model/random_weights.h"
#include "model/tiny_shapes.h"
#include "support/sanitized.h"

namespace autoglm::test {
namespace {

struct Case {
  const char* name;
  ModelShape (*shape)();
  const char* recipe;
};

const Case kCases[] = {
    {"llama_Q4_K_M", tiny_llama, "Q4_K_M"}, {"llama_Q4_0", tiny_llama, "Q4_0"}, {"llama_BF16", tiny_llama, "BF16"},
    {"gemma_Q8_0", tiny_gemma, "Q8_0"},     {"moe_Q4_1", tiny_moe, "Q4_1"},     {"mla_Q5_K_M", tiny_mla, "Q5_K_M"},
};
constexpr Precision kPrecisions[] = {Precision::f32, Precision::automatic};

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

std::vector<int32_t> random_tokens(size_t n, uint32_t seed) {
  std::mt19937 engine(seed);
  std::vector<int32_t> tokens(n);
  for (int32_t& token : tokens) token = static_cast<int32_t>(engine() % 256);
  return tokens;
}

class SameBits : public testing::TestWithParam<Case> {
 protected:
  SameBits() {
    WorkerPool pool({.threads = 2});
    const Case& c = GetParam();
    source_ = random_model(c.shape(), ShapeTable::built_in().recipe(c.recipe), 11, pool);
  }

  // Calls check(model, what) with a model for every ISA, precision and KV type. The slow reference backend takes part
  // with the two setups that people use.
  template <typename F>
  void for_each_setup(int threads, F&& check) {
    for (std::string_view isa : usable_isas()) {
      for (Precision precision : kPrecisions) {
        for (KvType kv_type : kKvTypes) {
          const bool usual = kv_type == (precision == Precision::f32 ? KvType::f32 : KvType::q8);
          if (!usual && (isa == "ref" || kSanitized)) continue;
          if (isa == "ref" && kSanitized) continue;  // one thread, and minutes under a sanitizer
          Runtime runtime = test_runtime(isa, threads);
          LoadOptions options = load_options({.precision = precision, .kv_type = kv_type}, 64);
          options.context = 512;
          options.batch_sequences = 4;
          const auto model = Model::load(source_, runtime, options);
          check(*model, std::string(isa) + (precision == Precision::f32 ? " f32 " : " auto ") +
                            std::to_string(static_cast<int>(kv_type)));
        }
      }
    }
  }

  std::shared_ptr<const ModelSource> source_;
};

// Continues `id` with one token at a time and returns the logits.
std::vector<float> continue_with(Model& model, KvCache& kv, SequenceId id, std::span<const int32_t> tokens) {
  std::vector<float> out;
  const int32_t row = 0;
  for (size_t i = 0; i < tokens.size(); ++i) {
    AUTOGLM_CHECK(kv.append(id, 1), "the test's cache is too small");
    const BatchSequence sequence{.sequence = id, .row_begin = 0, .rows = 1};
    Batch batch;
    batch.tokens = tokens.subspan(i, 1);
    batch.sequences = {&sequence, 1};
    batch.logit_rows = {&row, 1};
    const auto logits = model.forward(batch, kv);
    out.insert(out.end(), logits.begin(), logits.end());
  }
  return out;
}

TEST_P(SameBits, WholeOrInChunks) {
  const auto tokens = random_tokens(50, 1);
  for_each_setup(1, [&](Model& model, const std::string& what) {
    const auto kv = model.make_kv_cache();
    const auto whole = all_logits(model, *kv, tokens);
    for (int64_t chunk : {1, 7, 16, 33}) {
      EXPECT_TRUE(same_bits(whole, all_logits(model, *kv, tokens, chunk))) << what << " in chunks of " << chunk;
    }
  });
}

TEST_P(SameBits, AloneOrInABatch) {
  const std::vector<int32_t> prompts[] = {random_tokens(21, 2), random_tokens(1, 3), random_tokens(30, 4)};
  for_each_setup(1, [&](Model& model, const std::string& what) {
    const auto kv = model.make_kv_cache();
    std::vector<float> alone;
    for (const auto& prompt : prompts) {
      const auto logits = all_logits(model, *kv, prompt);
      alone.insert(alone.end(), logits.begin(), logits.end());
    }
    std::vector<int32_t> tokens;
    std::vector<BatchSequence> sequences;
    for (const auto& prompt : prompts) {
      const SequenceId id = kv->create();
      ASSERT_TRUE(kv->append(id, std::ssize(prompt)));
      sequences.push_back({.sequence = id, .row_begin = std::ssize(tokens), .rows = std::ssize(prompt)});
      tokens.insert(tokens.end(), prompt.begin(), prompt.end());
    }
    std::vector<int32_t> rows(tokens.size());
    std::iota(rows.begin(), rows.end(), 0);
    Batch batch;
    batch.tokens = tokens;
    batch.sequences = sequences;
    batch.logit_rows = rows;
    EXPECT_TRUE(same_bits(alone, model.forward(batch, *kv))) << what;
  });
}

// The last layer leaves out rows without logits; what it stores for them is used by the tokens that follow.
TEST_P(SameBits, LogitsOfSomeRowsOrOfAll) {
  const auto tokens = random_tokens(44, 9), more = random_tokens(3, 10);
  const std::vector<std::vector<int32_t>> choices = {{}, {43}, {0, 3, 4, 5, 29, 30, 43}};
  for_each_setup(1, [&](Model& model, const std::string& what) {
    const auto kv = model.make_kv_cache();
    const auto whole = all_logits(model, *kv, tokens);
    const size_t width = whole.size() / tokens.size();
    std::vector<float> after;
    for (const bool hidden : {true, false}) {
      for (const std::vector<int32_t>& rows : choices) {
        const SequenceId ids[] = {kv->create(), kv->create()};  // two sequences of the same tokens: 20 rows and all
        ASSERT_TRUE(kv->append(ids[0], 20) && kv->append(ids[1], std::ssize(tokens)));
        const BatchSequence sequences[] = {{.sequence = ids[0], .row_begin = 0, .rows = 20},
                                           {.sequence = ids[1], .row_begin = 20, .rows = std::ssize(tokens)}};
        std::vector<int32_t> both(tokens.begin(), tokens.begin() + 20), wanted;
        both.insert(both.end(), tokens.begin(), tokens.end());
        for (const int32_t row : rows) wanted.push_back(20 + row);
        Batch batch;
        batch.tokens = both;
        batch.sequences = sequences;
        batch.logit_rows = wanted;
        batch.hidden = hidden;
        const auto logits = model.forward(batch, *kv);
        std::vector<float> expected;
        for (const int32_t row : rows) {
          const auto begin = whole.begin() + static_cast<std::ptrdiff_t>(static_cast<size_t>(row) * width);
          expected.insert(expected.end(), begin, begin + static_cast<std::ptrdiff_t>(width));
        }
        EXPECT_TRUE(same_bits(expected, logits)) << what << ", rows " << rows.size() << (hidden ? ", hidden" : "");
        const auto next = continue_with(model, *kv, ids[1], more);
        if (after.empty()) after = next;
        EXPECT_TRUE(same_bits(after, next)) << what << " after rows " << rows.size();
        for (const SequenceId id : ids) kv->free(id);
      }
    }
  });
}

TEST_P(SameBits, OneThreadOrMore) {
  const auto tokens = random_tokens(40, 5);
  std::vector<std::vector<float>> one;
  for_each_setup(1, [&](Model& model, const std::string&) {
    one.push_back(all_logits(model, *model.make_kv_cache(), tokens, 13));
  });
  for (int threads : {2, 3}) {
    size_t i = 0;
    for_each_setup(threads, [&](Model& model, const std::string& what) {
      EXPECT_TRUE(same_bits(one[i++], all_logits(model, *model.make_kv_cache(), tokens, 13)))
          << what << ", " << threads;
    });
  }
}

TEST_P(SameBits, AfterForkTruncateAndImport) {
  const auto prompt = random_tokens(37, 6);
  const auto answer = random_tokens(12, 7);
  const auto other = random_tokens(9, 8);
  for_each_setup(1, [&](Model& model, const std::string& what) {
    const auto kv = model.make_kv_cache();
    const SequenceId first = kv->create();
    continue_with(model, *kv, first, prompt);
    const SequenceId fork = kv->fork(first);
    const auto expected = continue_with(model, *kv, first, answer);
    continue_with(model, *kv, fork, other);  // a draft that is rejected
    kv->truncate(fork, std::ssize(prompt));
    EXPECT_TRUE(same_bits(expected, continue_with(model, *kv, fork, answer))) << what << ", fork and truncate";

    const SequenceId copy = kv->create();
    ASSERT_TRUE(kv->append(copy, std::ssize(prompt)));
    for (int64_t block = 0; block < std::ssize(kv->blocks(copy)); ++block) {
      kv->import_block(copy, block, kv->export_block(first, block));
    }
    EXPECT_TRUE(same_bits(expected, continue_with(model, *kv, copy, answer))) << what << ", export and import";
    kv->check_integrity();
  });
}

INSTANTIATE_TEST_SUITE_P(Models, SameBits, testing::ValuesIn(kCases), [](const auto& one) { return one.param.name; });

}  // namespace
}  // namespace autoglm::test
