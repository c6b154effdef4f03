// The forms in which files hold the same tensors, and what is refused rather than ignored.
#include <cstring>
#include <deque>
#include <functional>

#include "model/convert.h"
#include "model/families/family.h"
#include "model/model_support.h"
#include "model/tensor_table.h"

namespace autoglm::test {
namespace {

/// A source in memory that was copied from another one and may be changed.
class EditedSource final : public ModelSource {
 public:
  explicit EditedSource(const ModelSource& from) {
    container_ = from.container();
    metadata_ = from.metadata();
    path_ = from.path();
    files_ = from.files();
    tensors_ = from.tensors();
  }
  Metadata& keys() { return metadata_; }
  std::vector<TensorEntry>& list() { return tensors_; }
  TensorEntry take(const std::string& name) {
    const auto place =
        std::find_if(tensors_.begin(), tensors_.end(), [&](const TensorEntry& t) { return t.name == name; });
    AUTOGLM_CHECK(place != tensors_.end(), "the test takes a tensor that there is not: " + name);
    TensorEntry tensor = *place;
    tensors_.erase(place);
    return tensor;
  }
  void add(const std::string& name, Type type, std::vector<int64_t> shape, std::vector<std::byte> data) {
    owned_.push_back(std::move(data));
    tensors_.push_back({.name = name, .type = type, .shape = std::move(shape), .data = owned_.back()});
  }
  /// Puts the named tensors one after the other, into a new one of this shape.
  void join(const std::vector<std::string>& names, const std::string& name, std::vector<int64_t> shape) {
    std::vector<std::byte> bytes;
    Type type = Type::f32;
    for (const std::string& part : names) {
      const TensorEntry tensor = take(part);
      type = tensor.type;
      bytes.insert(bytes.end(), tensor.data.begin(), tensor.data.end());
    }
    add(name, type, std::move(shape), std::move(bytes));
  }
  void ready() { index_tensors(); }

 private:
  std::deque<std::vector<std::byte>> owned_;
};

class Names : public testing::Test {
 protected:
  std::shared_ptr<const ModelSource> golden(const std::string& name) {
    return open_golden(name, "config.json", scratch_.path());
  }
  std::shared_ptr<const ModelSource> converted(const std::string& name) {
    const fs::path out = scratch_.path() / (name + ".gguf");
    ConvertOptions options;
    options.type = Type::f32;
    convert_model(*golden(name), out, options);
    return open_model(out);
  }
  std::shared_ptr<const ModelSource> edit(const std::shared_ptr<const ModelSource>& source,
                                          const std::function<void(EditedSource&)>& change) {
    auto edited = std::make_shared<EditedSource>(*source);
    change(*edited);
    edited->ready();
    kept_.push_back(source);
    return edited;
  }
  void expect_same_logits(const std::shared_ptr<const ModelSource>& a, const std::shared_ptr<const ModelSource>& b,
                          const std::string& name) {
    const Golden golden = read_golden(name);
    EXPECT_EQ(run_tokens(a, "ref", golden.tokens), run_tokens(b, "ref", golden.tokens)) << name;
  }
  Error refusal(const std::shared_ptr<const ModelSource>& source) {
    try {
      locate_tensors(read_spec(*source), *source);
    } catch (const Error& error) {
      return error;
    }
    ADD_FAILURE() << "was accepted";
    return Error(Code::internal, "");
  }
  TemporaryFolder scratch_;
  std::vector<std::shared_ptr<const ModelSource>> kept_;
};

// transformers 5 may save experts as stacks: gate_up_proj [experts, 2 * width, hidden] and down_proj.
TEST_F(Names, StackedExpertsOfTransformers) {
  for (const char* name : {"qwen3_moe-a", "glm4_moe-a"}) {
    const auto source = golden(name);
    const ArchSpec spec = read_spec(*source);
    const auto stacked = edit(source, [&](EditedSource& s) {
      for (int layer = 0; layer < spec.layers; ++layer) {
        if (!spec.is_moe(layer)) continue;
        const std::string prefix = "model.layers." + std::to_string(layer) + ".mlp.experts.";
        std::vector<std::string> gate_up, down;
        for (int e = 0; e < spec.router.experts; ++e) {
          const std::string expert = prefix + std::to_string(e);
          gate_up.insert(gate_up.end(), {expert + ".gate_proj.weight", expert + ".up_proj.weight"});
          down.push_back(expert + ".down_proj.weight");
        }
        s.join(gate_up, prefix + "gate_up_proj", {spec.router.experts, 2 * spec.expert_ffn, spec.hidden});
        s.join(down, prefix + "down_proj", {spec.router.experts, spec.hidden, spec.expert_ffn});
      }
    });
    expect_same_logits(source, stacked, name);
  }
}

// As sentence-transformers saves a model: without its head, and so without the name of what is below the head.
TEST_F(Names, ModelsForEmbeddingsHaveNoPrefix) {
  const auto source = golden("llama-d");
  const auto bare = edit(source, [](EditedSource& s) {
    for (TensorEntry& tensor : s.list()) {
      if (tensor.name.starts_with("model.")) tensor.name = tensor.name.substr(6);
    }
  });
  expect_same_logits(source, bare, "llama-d");
}

TEST_F(Names, FusedQkvOfGguf) {
  for (const char* name : {"qwen2-a", "llama-b", "glm4_moe-a"}) {
    const auto source = converted(name);
    const ArchSpec spec = read_spec(*source);
    const int64_t rows = int64_t{spec.heads[0] + 2 * spec.kv_heads[0]} * spec.head_dim[0];
    const auto fused = edit(source, [&](EditedSource& s) {
      for (int layer = 0; layer < spec.layers; ++layer) {
        const std::string blk = "blk." + std::to_string(layer) + ".attn_";
        s.join({blk + "q.weight", blk + "k.weight", blk + "v.weight"}, blk + "qkv.weight", {rows, spec.hidden});
        if (spec.qkv_bias) s.join({blk + "q.bias", blk + "k.bias", blk + "v.bias"}, blk + "qkv.bias", {rows});
      }
    });
    expect_same_logits(source, fused, name);
  }
}

TEST_F(Names, SeparateGateAndUpWhereLlamaCppFusesThem) {
  const auto source = converted("glm4-a");
  const ArchSpec spec = read_spec(*source);
  const auto separate = edit(source, [&](EditedSource& s) {
    for (int layer = 0; layer < spec.layers; ++layer) {
      const std::string blk = "blk." + std::to_string(layer) + ".ffn_";
      const TensorEntry both = s.take(blk + "up.weight");
      const auto half = both.data.size() / 2;
      s.add(blk + "gate.weight", both.type, {spec.ffn[0], spec.hidden}, {both.data.begin(), both.data.begin() + half});
      s.add(blk + "up.weight", both.type, {spec.ffn[0], spec.hidden}, {both.data.begin() + half, both.data.end()});
    }
  });
  expect_same_logits(source, separate, "glm4-a");
}

// Early GLM-4.7-Flash files: no expert_gating_func, and the sigmoid is known by the router's correction.
TEST_F(Names, FlashWithoutGatingFunction) {
  const auto source = converted("glm4_moe_lite-a");
  const auto early = edit(source, [](EditedSource& s) {
    Metadata kept;
    for (const auto& [key, value] : s.keys().all()) {
      if (key != "deepseek2.expert_gating_func") kept.set(key, value);
    }
    s.keys() = kept;
  });
  EXPECT_TRUE(read_spec(*early).router.sigmoid);
  expect_same_logits(source, early, "glm4_moe_lite-a");
}

TEST_F(Names, LayersForMultiTokenPredictionAreNotRun) {
  const auto source = golden("glm4_moe-b");
  const ArchSpec spec = read_spec(*source);
  ASSERT_EQ(spec.mtp_layers, 1);
  EXPECT_NE(source->find("model.layers." + std::to_string(spec.layers) + ".eh_proj.weight"), nullptr)
      << "this golden holds the tensors of an MTP layer, which GoldenTest must not run";

  const auto gguf = edit(converted("glm4_moe-b"), [&](EditedSource& s) {
    s.keys().set("glm4moe.block_count", int64_t{spec.layers + 1});
    s.keys().set("glm4moe.nextn_predict_layers", int64_t{1});
    s.add("blk." + std::to_string(spec.layers) + ".nextn.enorm.weight", Type::f32, {spec.hidden},
          std::vector<std::byte>(static_cast<size_t>(4 * spec.hidden)));
  });
  EXPECT_EQ(read_spec(*gguf).layers, spec.layers);
  expect_same_logits(converted("glm4_moe-b"), gguf, "glm4_moe-b");
}

TEST_F(Names, AnUnknownTensorIsRefusedByName) {
  for (const auto& source : {golden("llama-a"), converted("llama-a")}) {
    const auto edited = edit(
        source, [](EditedSource& s) { s.add("blk.0.attn_sinks.weight", Type::f32, {6}, std::vector<std::byte>(24)); });
    const Error error = refusal(edited);
    EXPECT_EQ(error.code(), Code::unsupported_model);
    EXPECT_THAT(error.what(), testing::HasSubstr("blk.0.attn_sinks.weight"));
  }
}

TEST_F(Names, AMissingTensorIsNamed) {
  const Error error = refusal(edit(converted("llama-a"), [](EditedSource& s) { s.take("blk.1.ffn_down.weight"); }));
  EXPECT_EQ(error.code(), Code::bad_model_file);
  EXPECT_THAT(error.what(), testing::HasSubstr("blk.1.ffn_down.weight"));
}

TEST_F(Names, AWrongShapeNamesBoth) {
  const Error error = refusal(edit(golden("llama-a"), [](EditedSource& s) {
    for (TensorEntry& tensor : s.list()) {
      if (tensor.name == "model.layers.0.mlp.down_proj.weight") std::swap(tensor.shape[0], tensor.shape[1]);
    }
  }));
  EXPECT_EQ(error.code(), Code::bad_model_file);
  EXPECT_THAT(error.what(), testing::HasSubstr("[80, 48]"));
  EXPECT_THAT(error.what(), testing::HasSubstr("[48, 80]"));
}

/// A change to a configuration, and a word that the refusal must hold.
struct Refused {
  const char* golden;
  const char* key;
  const char* value;  // JSON
  const char* word;
};

TEST_F(Names, ConfigurationsThatChangeTheMathematicsAreRefused) {
  const Refused cases[] = {
      {"llama-a", "model_type", R"("gpt5")", "gpt5"},
      {"llama-a", "hidden_act", R"("relu")", "hidden_act"},
      {"llama-a", "logits_scaling", "8.0", "logits_scaling"},
      {"llama-a", "rope_parameters", R"({"rope_type":"yarn","rope_theta":10000.0,"factor":4.0})", "yarn"},
      {"llama-a", "rope_parameters", R"({"rope_type":"longrope","rope_theta":10000.0})", "longrope"},
      {"llama-a", "rope_parameters", R"({"rope_type":"dynamic","rope_theta":10000.0,"factor":2.0})", "dynamic"},
      {"llama-a", "quantization_config", R"({"quant_method":"gptq"})", "gptq"},
      {"llama-a", "num_key_value_heads", "4", "KV head"},
      {"llama-a", "num_hidden_layers", "2000000000", "num_hidden_layers"},
      {"llama-a", "head_dim", "7", "rotary"},
      {"qwen2-a", "use_sliding_window", "true", "use_sliding_window"},
      {"qwen3-a", "layer_types", R"(["full_attention","linear_attention"])", "linear_attention"},
      {"gemma3-a", "use_bidirectional_attention", "true", "use_bidirectional_attention"},
      {"gemma3-a", "sliding_window", "0", "sliding_window"},
      {"glm4_moe-a", "num_experts_per_tok", "999", "experts used"},
      {"glm4_moe-a", "scoring_func", R"("softmax")", "scoring_func"},
      {"glm4_moe_lite-a", "attention_bias", "true", "attention_bias"},
      {"glm4_moe_lite-a", "mlp_layer_types", R"(["dense","mystery"])", "mystery"},
      {"chatglm-a", "rmsnorm", "false", "rmsnorm"},
      {"chatglm-a", "add_bias_linear", "true", "add_bias_linear"},
  };
  for (const Refused& c : cases) {
    std::ifstream file(models_folder() / c.golden / "config.json");
    nlohmann::json json = nlohmann::json::parse(file);
    json[c.key] = nlohmann::json::parse(c.value);
    try {
      HfConfig config(json.dump());
      read_spec(config, *golden(c.golden));
      ADD_FAILURE() << c.golden << " with " << c.key << " = " << c.value << " was accepted";
    } catch (const Error& error) {
      EXPECT_THAT(std::string(error.what()) + " " + error.hint(), testing::HasSubstr(c.word)) << c.key;
      EXPECT_EQ(info(error.code()).exit_code, 3) << c.key;
    }
  }
}

TEST_F(Names, AnUnknownArchitectureNamesTheKnownOnes) {
  const Error error = refusal(
      edit(converted("llama-a"), [](EditedSource& s) { s.keys().set("general.architecture", std::string("mamba")); }));
  EXPECT_EQ(error.code(), Code::unsupported_model);
  EXPECT_THAT(error.what(), testing::HasSubstr("mamba"));
  for (const char* known : {"llama", "glm4moe", "deepseek2", "gemma3", "chatglm"}) {
    EXPECT_THAT(error.hint(), testing::HasSubstr(known));
  }
}

TEST_F(Names, GgufKeysThatChangeTheMathematicsAreRefused) {
  const std::tuple<const char*, MetaValue, const char*> cases[] = {
      {"llama.expert_count", int64_t{8}, "expert_count"},
      {"llama.logit_scale", 0.5, "logit_scale"},
      {"llama.rope.scaling.type", std::string("yarn"), "yarn"},
      {"llama.attention.sliding_window", int64_t{64}, "sliding_window"},
      {"llama.attention.value_length", int64_t{99}, "value_length"},
      {"llama.attention.head_count", int64_t{1} << 40, "range"},
      {"llama.block_count", int64_t{1} << 30, "block_count"},
      {"llama.rope.dimension_count", int64_t{1} << 30, "rotary"},
  };
  for (const auto& [key, value, word] : cases) {
    const Error error =
        refusal(edit(converted("llama-a"), [&, k = key, v = value](EditedSource& s) { s.keys().set(k, v); }));
    EXPECT_EQ(info(error.code()).exit_code, 3) << key;
    EXPECT_THAT(error.what(), testing::HasSubstr(word)) << key;
  }
}

}  // namespace
}  // namespace autoglm::test
