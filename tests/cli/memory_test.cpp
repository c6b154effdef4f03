// Memory as it is planned against memory as it is measured, over families, contexts, batches, types of keys and values,
// and how the weights came into memory.
//
// Measured is VmHWM of the program (hw/resident.h). The plan must be within 5 % of it, or within 5 MiB for what is
// smaller than 100 MiB: shared libraries and the heap differ by a few MiB between systems and runs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <map>

#include "cli/command_runner.h"
#include "model/random_weights.h"
#include "support/sanitized.h"

namespace autoglm::test {
namespace {

constexpr double kMiB = 1 << 20;

struct Family {
  const char* name;
  const char* recipe;
  const char* config;
};

constexpr Family kFamilies[] = {
    {"llama", "Q4_0",
     R"({"model_type":"llama","vocab_size":32000,"hidden_size":768,"intermediate_size":2048,"num_hidden_layers":8,
"num_attention_heads":12,"num_key_value_heads":2,"max_position_embeddings":32768,"rms_norm_eps":1e-5,
"rope_theta":10000.0,"tie_word_embeddings":false})"},
    {"glm4", "Q8_0",
     R"({"model_type":"glm4","vocab_size":48000,"hidden_size":768,"intermediate_size":2048,"num_hidden_layers":6,
"num_attention_heads":12,"num_key_value_heads":2,"head_dim":64,"max_position_embeddings":32768,"rms_norm_eps":1e-5,
"rope_theta":10000.0,"partial_rotary_factor":0.5,"attention_bias":true,"tie_word_embeddings":false})"},
    {"gemma3", "Q4_K_M",
     R"({"model_type":"gemma3_text","vocab_size":100000,"hidden_size":512,"intermediate_size":2048,
"num_hidden_layers":6,"num_attention_heads":4,"num_key_value_heads":1,"head_dim":128,"max_position_embeddings":32768,
"rms_norm_eps":1e-6,"sliding_window":512,"sliding_window_pattern":3,"query_pre_attn_scalar":128,"rope_theta":1000000.0,
"rope_local_base_freq":10000.0,"tie_word_embeddings":true})"},
    {"qwen3-moe", "Q4_K_M",
     R"({"model_type":"qwen3_moe","vocab_size":32000,"hidden_size":512,"intermediate_size":1024,"num_hidden_layers":6,
"num_attention_heads":8,"num_key_value_heads":2,"head_dim":64,"max_position_embeddings":32768,"rms_norm_eps":1e-6,
"rope_theta":1000000.0,"tie_word_embeddings":false,"num_experts":32,"num_experts_per_tok":4,
"moe_intermediate_size":512,"norm_topk_prob":true})"},
    {"glm4-moe-lite", "BF16",
     R"({"model_type":"glm4_moe_lite","vocab_size":32000,"hidden_size":512,"intermediate_size":1024,
"num_hidden_layers":4,"num_attention_heads":8,"num_key_value_heads":8,"max_position_embeddings":32768,
"rms_norm_eps":1e-5,"rope_theta":10000.0,"tie_word_embeddings":false,"q_lora_rank":256,"kv_lora_rank":256,
"qk_nope_head_dim":64,"qk_rope_head_dim":32,"v_head_dim":64,"n_routed_experts":16,"num_experts_per_tok":2,
"n_shared_experts":1,"moe_intermediate_size":256,"first_k_dense_replace":1})"},
};

enum class Start { first, packed, without_cache };
constexpr Start kStarts[] = {Start::first, Start::packed, Start::without_cache};
constexpr const char* kStartNames[] = {"first start", "packed before", "no cache"};

/// Made-up models on disk, once for all tests.
class MemoryPlanned : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    const ShapeTable table = ShapeTable::built_in();
    WorkerPool pool({.threads = 2});
    for (const Family& family : kFamilies) {
      const auto model = random_model({family.name, family.config}, table.recipe(family.recipe), 1, pool);
      write_random_model(*model, file(family), {});
    }
  }
  static void TearDownTestSuite() {
    delete folder_;
    folder_ = nullptr;
  }
  static std::string file(const Family& family) { return *folder_ / (std::string(family.name) + ".gguf"); }

  static nlohmann::json json(const std::vector<std::string>& arguments) {
    const Outcome outcome = run_program(arguments, {.seconds = 600});  // it may share a machine
    EXPECT_EQ(outcome.exit_code, 0) << outcome.out << outcome.err;
    return outcome.json();
  }

  static void expect_close(const nlohmann::json& memory, const std::string& what) {
    const auto planned = memory.at("planned_bytes").get<double>();
    const auto peak = memory.at("peak_rss_bytes").get<double>();
    const double allowed = std::max(0.05 * planned, 5 * kMiB);
    // A sanitizer takes memory of its own, so under one the plan is only what is taken at least.
    const double beyond = kSanitized ? planned - peak : std::abs(peak - planned);
    EXPECT_LE(beyond, allowed) << what << ": planned " << planned / kMiB << " MiB, measured " << peak / kMiB;
  }

  /// One run of bench, which touches all that was promised.
  static void expect_bench_close(const std::string& model, int64_t context, int batch, const std::string& kv_type,
                                 Start start) {
    const TemporaryFolder cache;
    std::vector<std::string> arguments = {"bench",
                                          model,
                                          "--prompt",
                                          "40",
                                          "--gen",
                                          "2",
                                          "--reps",
                                          "1",
                                          "--no-probe",
                                          "--ctx",
                                          std::to_string(context),
                                          "--batch",
                                          std::to_string(batch),
                                          "--kv-type",
                                          kv_type,
                                          "--json"};
    if (start == Start::without_cache) {
      arguments.emplace_back("--no-cache");
    } else {
      arguments.insert(arguments.end(), {"--cache-dir", cache / "cache"});
    }
    nlohmann::json object = json(arguments);
    if (start == Start::packed) object = json(arguments);
    expect_close(object, model + ", context " + std::to_string(context) + ", batch " + std::to_string(batch) + ", " +
                             kv_type + ", " + kStartNames[static_cast<int>(start)]);
  }

  static TemporaryFolder* folder_;
};
TemporaryFolder* MemoryPlanned::folder_ = nullptr;

TEST_F(MemoryPlanned, OverFamiliesContextsBatchesTypesAndStarts) {
  constexpr const char* kTypes[] = {"q8", "bf16", "f32", "q4", "f16"};
  // Every family meets every context and batch; types and starts go round, each in another order, so that in the end
  // every two of them have met.
  size_t turn = 0;
  for (const Family& family : kFamilies) {
    for (const int64_t context : {512, 4096, 32768}) {
      for (const int batch : {1, 8}) {
        if (kSanitized && (context > 512 || batch > 1)) continue;  // ten times slower
        expect_bench_close(file(family), context, batch, kTypes[turn % 5], kStarts[turn / 5 % 3]);
        ++turn;
      }
    }
    ++turn;
  }
}

TEST_F(MemoryPlanned, OfARealModel) {
  for (const Start start : kStarts) {
    expect_bench_close(smollm2(), 512, 1, "q8", start);
    expect_bench_close(smollm2(), 8192, 8, "q8", start);
  }
}

TEST_F(MemoryPlanned, OfWeightsThatAreReadWhereTheyAreMapped) {
  const nlohmann::json object = json({"bench", file(kFamilies[0]), "--prompt", "40", "--gen", "2", "--reps", "1",
                                      "--no-probe", "--ctx", "4096", "--precision", "f32", "--no-cache", "--json"});
  expect_close(object, "--precision f32");
}

TEST_F(MemoryPlanned, OfWeightsThatAreMadeInMemory) {
  const nlohmann::json object = json({"bench", "--shape", "smollm2-135m", "--type", "Q4_0", "--prompt", "40", "--gen",
                                      "2", "--reps", "1", "--no-probe", "--ctx", "4096", "--json"});
  expect_close(object, "--shape");
}

TEST_F(MemoryPlanned, RunHasWhatInspectSays) {
  for (const std::string& model : {smollm2(), file(kFamilies[2])}) {
    const nlohmann::json inspected = json({"inspect", model, "--ctx", "2048", "--json"}).at("memory");
    // Long enough for memory to be taken that was only promised at first.
    const nlohmann::json run =
        json({"run", model, "Hello", "--raw", "-n", "100", "--ignore-eos", "--ctx", "2048", "--no-cache", "--json"});
    EXPECT_EQ(inspected.at("total_bytes"), run.at("memory").at("planned_bytes")) << model;
    expect_close(run.at("memory"), "run " + model);
    int64_t sum = 0;
    for (const char* key :
         {"weights_bytes", "kv_bytes", "activations_bytes", "cache_bytes", "tokenizer_bytes", "process_bytes"}) {
      sum += inspected.at(key).get<int64_t>();
    }
    EXPECT_EQ(sum, inspected.at("total_bytes"));
  }
}

// A long prompt touches rows all over the table of embeddings: they are not to stay.
TEST_F(MemoryPlanned, RowsThatWereLookedUpDoNotStay) {
  const auto peak = [&](const char* prompt) {
    return json({"bench", file(kFamilies[2]), "--prompt", prompt, "--gen", "1", "--reps", "1", "--no-probe", "--ctx",
                 "4096", "--no-cache", "--json"})
        .at("peak_rss_bytes")
        .get<double>();
  };
  // Freed memory that a sanitizer holds back counts, too.
  const double allowed = kSanitized ? 300 * kMiB : 3 * kMiB;
  EXPECT_LE(peak("3000") - peak("40"), allowed) << "of a table of 50 MiB or more";
}

}  // namespace
}  // namespace autoglm::test
