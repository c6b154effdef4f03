// The plan before anything is allocated, and what is said when it does not fit.
#include "model/memory_plan.h"

#include "base/ledger.h"
#include "base/settings.h"
#include "model/model_support.h"
#include "model/random_weights.h"
#include "model/tiny_shapes.h"

namespace autoglm::test {
namespace {

class MemoryPlanTest : public testing::Test {
 protected:
  MemoryPlanTest() {
    WorkerPool pool({.threads = 1});
    source_ = random_model(tiny_llama(), ShapeTable::built_in().recipe("Q8_0"), 1, pool);
  }
  MemoryPlan plan(int64_t limit, LoadOptions options = {}) {
    const Runtime runtime = test_runtime("ref", 1, limit);
    return Model::plan(*source_, runtime, options);
  }
  Error refusal(int64_t limit, LoadOptions options = {}) {
    Runtime runtime = test_runtime("ref", 1, limit);
    try {
      Model::load(source_, runtime, options);
    } catch (const Error& error) {
      EXPECT_EQ(runtime.ledger->total(), 0) << "a refused model holds memory";
      return error;
    }
    ADD_FAILURE() << "the model was loaded into " << limit << " bytes";
    return Error(Code::internal, "");
  }
  std::shared_ptr<const ModelSource> source_;
};

TEST(KvTypes, AreNamedAsTheSettingNamesThem) {
  std::string names;
  for (const KvType type : kKvTypes) {
    EXPECT_EQ(kv_type(name(type)), type);
    names += (names.empty() ? "" : "|") + std::string(name(type));
  }
  EXPECT_EQ(find_setting("kv_cache.type")->choices, names + "|auto");
}

TEST_F(MemoryPlanTest, AddsUp) {
  LoadOptions options;
  options.context = 100;
  const MemoryPlan p = plan(0, options);
  EXPECT_EQ(p.total_bytes, p.weights_bytes + p.kv_bytes + p.activations_bytes + p.tokenizer_bytes + p.process_bytes);
  EXPECT_EQ(p.context, 100);
  // 2 layers x 2 heads x (64 codes and two float32 scales) x key and value.
  EXPECT_EQ(p.kv_per_token_bytes, 2 * 2 * 2 * (64 + 8));
  EXPECT_EQ(p.kv_bytes, 112 * p.kv_per_token_bytes);  // whole blocks of 16
  // Q8_0 has 34 bytes for 32 values; the norms are F32.
  const int64_t matrices = 2 * 256 * 256 + 2 * (256 * 256 * 2 + 128 * 256 * 2 + 3 * 256 * 512);
  EXPECT_EQ(p.weights_bytes, matrices / 32 * 34 + 5 * 256 * 4);
  EXPECT_TRUE(p.fits());
}

TEST_F(MemoryPlanTest, NarrowTypesTakeTheirShareOfBf16) {
  const auto kv_bytes = [](KvType type, std::string_view isa) {
    const std::vector<KvLayerSpec> layers(24, {KvLayerSpec::Kind::kv, 8, 128, 128, type});
    const Runtime runtime = test_runtime(isa);
    return static_cast<double>(runtime.backend->kv_block_bytes(layers) * kv_blocks(32768, 1));
  };
  for (const std::string_view isa : usable_isas()) {
    const double bf16 = kv_bytes(KvType::bf16, isa);
    EXPECT_EQ(bf16, 32768.0 * 24 * 8 * 2 * 128 * 2) << isa;
    EXPECT_EQ(kv_bytes(KvType::f16, isa) / bf16, 1.0) << isa;
    EXPECT_EQ(kv_bytes(KvType::q8, isa) / bf16, 9.0 / 16.0) << isa;
    EXPECT_EQ(kv_bytes(KvType::q4, isa) / bf16, 5.0 / 16.0) << isa;
  }
}

TEST_F(MemoryPlanTest, ATiedEmbeddingIsReadAsItIsAndKeptPackedToo) {
  ModelShape tied = tiny_llama();
  tied.config.replace(tied.config.find("false"), 5, "true");
  WorkerPool pool({.threads = 1});
  const auto source = random_model(tied, ShapeTable::built_in().recipe("Q8_0"), 1, pool);
  const Runtime runtime = test_runtime("generic");
  // Apart, the embedding is read in the file and the head is packed: no more and no less.
  EXPECT_EQ(Model::plan(*source, runtime, {}).weights_bytes, Model::plan(*source_, runtime, {}).weights_bytes);
}

TEST_F(MemoryPlanTest, CountsWhatSequencesTakeBesideTheModel) {
  LoadOptions options;
  options.context = 100;
  options.batch_sequences = 3;
  const MemoryPlan before = plan(0, options);
  options.sequence_bytes = [](int64_t tokens) { return 1000 * tokens; };
  const MemoryPlan after = plan(0, options);
  EXPECT_EQ(after.total_bytes - before.total_bytes, 3 * 100 * 1000);
  EXPECT_EQ(after.activations_bytes - before.activations_bytes, 3 * 100 * 1000);
}

TEST_F(MemoryPlanTest, SequencesMayShareFewerBlocksThanTheyCouldFill) {
  LoadOptions options;
  options.context = 160;
  options.batch_sequences = 8;
  const MemoryPlan whole = plan(0, options);
  EXPECT_EQ(whole.kv_blocks, 80);
  options.kv_max_bytes = 160 * 2 * whole.kv_per_token_bytes + 100;
  const MemoryPlan part = plan(0, options);
  EXPECT_EQ(part.kv_blocks, 20);
  EXPECT_EQ(part.kv_bytes, 320 * part.kv_per_token_bytes);
  EXPECT_EQ(whole.total_bytes - part.total_bytes, whole.kv_bytes - part.kv_bytes);
  Runtime runtime = test_runtime("ref", 1, 0);
  EXPECT_EQ(Model::load(source_, runtime, options)->make_kv_cache()->total_blocks(), 20);

  options.context = 0;
  const MemoryPlan chosen = plan(0, options);
  EXPECT_EQ(chosen.context, 320);
  EXPECT_THAT(chosen.context_reason, testing::HasSubstr("a KV cache of"));
  options.context = 336;
  const Error error = refusal(0, options);
  EXPECT_EQ(error.code(), Code::bad_flag) << "not one request of that length would fit";
  EXPECT_THAT(error.what(), testing::HasSubstr("holds 320 tokens with --kv-type q8"));
  EXPECT_EQ(error.hint(), "--kv-max-bytes 1MiB holds them; --ctx 320 fits; --kv-type q4 fits");
  options.context = 640;  // q4 takes 5 bytes for 9 of q8: 576 tokens
  EXPECT_EQ(refusal(0, options).hint(), "--kv-max-bytes 1MiB holds them; --ctx 320 fits; --kv-type q4 --ctx 576 fits");
  options.kv_type = KvType::q4;
  EXPECT_EQ(refusal(0, options).hint(), "--kv-max-bytes 1MiB holds them; --ctx 576 fits");
}

TEST_F(MemoryPlanTest, ContextIsTheModelsOwnIfItFits) {
  const MemoryPlan p = plan(0);
  EXPECT_EQ(p.context, 1024);
  EXPECT_EQ(p.context_reason, "the model's own");
}

TEST_F(MemoryPlanTest, ContextShrinksToWhatMemoryAllows) {
  LoadOptions options;
  options.kv_type = KvType::f32;
  LoadOptions half = options;
  half.context = 512;
  const int64_t limit = plan(0, half).total_bytes + 100;
  const MemoryPlan p = plan(limit, options);
  EXPECT_EQ(p.context, 512);
  EXPECT_THAT(p.context_reason, testing::HasSubstr("memory limit"));
  EXPECT_TRUE(p.fits());
  Runtime runtime = test_runtime("ref", 1, limit);
  EXPECT_EQ(Model::load(source_, runtime, options)->context(), 512);
}

TEST_F(MemoryPlanTest, RefusalNamesAContextThatFits) {
  LoadOptions options;
  options.kv_type = KvType::f32;
  options.context = 1024;
  LoadOptions smaller = options;
  smaller.context = 160;
  const Error error = refusal(plan(0, smaller).total_bytes + 10, options);
  EXPECT_EQ(error.code(), Code::out_of_memory);
  EXPECT_EQ(info(error.code()).exit_code, 4);
  EXPECT_THAT(error.hint(), testing::HasSubstr("--ctx 160 fits"));
  EXPECT_THAT(error.hint(), testing::HasSubstr("--kv-type q8"));
}

TEST_F(MemoryPlanTest, RefusalNamesTypesOfKeysAndValuesThatHelp) {
  const auto total = [&](KvType type, int64_t context) {
    LoadOptions options;
    options.kv_type = type;
    options.context = context;
    return plan(0, options).total_bytes;
  };
  const auto hint = [&](KvType type, int64_t limit) {
    LoadOptions options;
    options.kv_type = type;
    options.context = 1024;
    return refusal(limit, options).hint();
  };
  const int64_t q8 = total(KvType::q8, 1024), q4 = total(KvType::q4, 1024);
  EXPECT_THAT(hint(KvType::q8, q4), testing::EndsWith("; --kv-type q4 fits, saving " + format_bytes(q8 - q4)));
  EXPECT_THAT(hint(KvType::q8, total(KvType::q4, 512)), testing::EndsWith("; --kv-type q4 --ctx 512 fits"));
  // The widest type that helps enough is enough; where none does, each that helps is named.
  EXPECT_THAT(hint(KvType::f32, q8),
              testing::EndsWith("; --kv-type q8 fits, saving " + format_bytes(total(KvType::f32, 1024) - q8)));
  EXPECT_THAT(hint(KvType::f32, q4), testing::ContainsRegex("--ctx [0-9]+ fits; --kv-type q8 --ctx [0-9]+ fits; "
                                                            "--kv-type q4 fits, saving"));
  EXPECT_THAT(hint(KvType::q4, q4 - 1), testing::Not(testing::HasSubstr("--kv-type")));
}

TEST_F(MemoryPlanTest, RefusalSaysThatNothingFits) {
  const Error error = refusal(1 << 20);
  EXPECT_EQ(error.code(), Code::out_of_memory);
  EXPECT_THAT(error.hint(), testing::HasSubstr("smaller model"));
}

TEST_F(MemoryPlanTest, AContextBeyondTheModelsOwnIsRefused) {
  LoadOptions options;
  options.context = 1025;
  try {
    plan(0, options);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::bad_flag);
    EXPECT_THAT(error.what(), testing::HasSubstr("1025"));
    EXPECT_THAT(error.what(), testing::HasSubstr("1024"));
  }
}

TEST_F(MemoryPlanTest, ALoadedModelIsInTheLedgerUntilItGoes) {
  Runtime runtime = test_runtime("ref", 1, int64_t{1} << 30);
  auto model = Model::load(source_, runtime, {});
  EXPECT_EQ(runtime.ledger->total(), model->memory().total_bytes);
  EXPECT_EQ(runtime.ledger->used(MemoryLine::kv), model->memory().kv_bytes);
  model.reset();
  EXPECT_EQ(runtime.ledger->total(), 0);
}

}  // namespace
}  // namespace autoglm::test
