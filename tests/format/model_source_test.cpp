#include "format/model_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "format/test_files.h"

namespace autoglm {
namespace {

namespace fs = std::filesystem;
using testing::Bytes;
using testing::TemporaryFolder;

/// A part with one F32 tensor of four values.
std::string part(uint32_t number, uint32_t count, const std::string& tensor, uint32_t tensors) {
  Bytes b;
  const auto small = [&b](const char* key, uint16_t value) {
    b.text(key).number<uint32_t>(testing::kU16).number(value);
  };
  b.header(1, 4).item("general.architecture", "llama");
  small("split.no", static_cast<uint16_t>(number));
  small("split.count", static_cast<uint16_t>(count));
  b.text("split.tensors.count").number<uint32_t>(testing::kI32).number<uint32_t>(tensors);
  b.tensor(tensor, {4}, 0, 0).pad(32);
  for (int i = 0; i < 4; ++i) b.number(static_cast<float>(number));
  return b.str();
}

TEST(OpenModel, ReadsTheRealModels) {
  const auto source = open_model(AUTOGLM_ORACLE_DIR "/smollm2-135m-q4_1.gguf");
  EXPECT_EQ(source->container(), Container::gguf);
  EXPECT_EQ(source->metadata().text("general.architecture"), "llama");
  EXPECT_EQ(source->metadata().integer("llama.block_count"), 30);
  EXPECT_EQ(source->metadata().strings("tokenizer.ggml.tokens")->size(), 49152u);
  const TensorEntry* down = source->find("blk.0.ffn_down.weight");
  ASSERT_NE(down, nullptr);
  EXPECT_EQ(down->rows(), 576);
  EXPECT_EQ(down->columns(), 1536);
  EXPECT_EQ(source->find("absent"), nullptr);
  EXPECT_EQ(source->file("config.json"), std::nullopt);

  const auto gemma = open_model(AUTOGLM_ORACLE_DIR "/gemma3-270m-q4_k_m.gguf");
  EXPECT_EQ(gemma->metadata().text("general.architecture"), "gemma3");
  EXPECT_NE(gemma->find("token_embd.weight"), nullptr);
}

TEST(OpenModel, ReadsVocabularyFilesOnlyWhereNoWeightsAreNeeded) {
  const char* path = AUTOGLM_ORACLE_DIR "/llama-cpp-models/ggml-vocab-qwen2.gguf";
  EXPECT_EQ(open_model(path, false)->metadata().text("tokenizer.ggml.pre"), "qwen2");
  EXPECT_ERROR(open_model(path), Code::bad_model_file, "no weights");
}

TEST(OpenModel, ReadsSplitFilesFromAnyPart) {
  const TemporaryFolder folder;
  const fs::path first = folder.write("m-00001-of-00002.gguf", part(0, 2, "a", 2));
  const fs::path second = folder.write("m-00002-of-00002.gguf", part(1, 2, "b", 2));
  for (const fs::path& path : {first, second}) {
    const auto source = open_model(path);
    ASSERT_EQ(source->tensors().size(), 2u);
    EXPECT_EQ(source->files().size(), 2u);
    float value = -1;
    info(Type::f32).decode(source->find("b")->data.data(), &value, 1);
    EXPECT_EQ(value, 1.0f);
  }
}

TEST(OpenModel, RefusesIncompleteSplitFiles) {
  const TemporaryFolder folder;
  const fs::path first = folder.write("m-00001-of-00002.gguf", part(0, 2, "a", 2));
  EXPECT_ERROR(open_model(first), Code::model_not_found, "m-00002-of-00002.gguf");
  folder.write("m-00002-of-00002.gguf", part(1, 2, "a", 2));
  EXPECT_ERROR(open_model(first), Code::bad_model_file, "'a' is there twice");
  folder.write("m-00002-of-00002.gguf", part(0, 2, "b", 2));
  EXPECT_ERROR(open_model(first), Code::bad_model_file, "another part");
  folder.write("m-00002-of-00002.gguf", part(1, 2, "b", 3));
  folder.write("m-00001-of-00002.gguf", part(0, 2, "a", 3));
  EXPECT_ERROR(open_model(first), Code::bad_model_file, "announces 3");
  EXPECT_ERROR(open_model(folder.write("renamed.gguf", part(0, 2, "a", 2))), Code::bad_model_file, "2 parts");
}

TEST(OpenModel, ReadsFolders) {
  for (const char* name : {"llama-a", "chatglm-b", "gemma3-a", "glm4_moe_lite-b"}) {
    const fs::path path = fs::path(AUTOGLM_TEST_DATA) / "models" / name;
    const auto source = open_model(path);
    EXPECT_EQ(source->container(), Container::safetensors);
    EXPECT_GT(source->tensors().size(), 10u) << name;
    EXPECT_TRUE(source->file("config.json")->starts_with("{"));
    EXPECT_EQ(source->file("tokenizer.json"), std::nullopt);
    EXPECT_GE(source->files().size(), 2u);
  }
  const auto sharded = open_model(AUTOGLM_TEST_DATA "/models/chatglm-b");
  EXPECT_EQ(sharded->files().size(), 5u);  // config, index, three shards
  EXPECT_NE(sharded->find("transformer.encoder.final_layernorm.weight"), nullptr);
}

/// {"t": F32 [2]} with its data.
std::string small_safetensors(const std::string& name = "t") {
  const std::string header = R"({")" + name + R"(":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  Bytes b;
  b.number<uint64_t>(header.size()).raw(header).number(1.0f).number(2.0f);
  return b.str();
}

TEST(OpenModel, FolderWithoutWeightsServesWhatNeedsNone) {
  const TemporaryFolder folder;
  EXPECT_ERROR(open_model(folder.path(), false), Code::model_not_found, "neither config.json nor a tokenizer");
  folder.write("tokenizer.json", "{}");
  EXPECT_EQ(open_model(folder.path(), false)->file("tokenizer.json"), "{}");
  EXPECT_ERROR(open_model(folder.path()), Code::model_not_found, "no config.json");
  folder.write("config.json", "{}");
  EXPECT_ERROR(open_model(folder.path()), Code::model_not_found, "no safetensors");
  folder.write("pytorch_model.bin", "x");
  EXPECT_ERROR(open_model(folder.path()), Code::unsupported_model, "pickle");
  folder.write("model.safetensors", small_safetensors());
  EXPECT_EQ(open_model(folder.path())->find("t")->elements(), 2);
}

TEST(OpenModel, ShardsAreWhatTheIndexSays) {
  const TemporaryFolder folder;
  folder.write("config.json", "{}");
  folder.write("a.safetensors", small_safetensors("a"));
  folder.write("b.safetensors", small_safetensors("b"));
  EXPECT_ERROR(open_model(folder.path()), Code::model_not_found, "no model.safetensors.index.json");
  const auto index = [&folder](const std::string& map) {
    folder.write("model.safetensors.index.json", R"({"metadata": {}, "weight_map": )" + map + "}");
  };
  index(R"({"a": "a.safetensors", "b": "b.safetensors"})");
  EXPECT_EQ(open_model(folder.path())->tensors().size(), 2u);
  index(R"({"a": "a.safetensors", "c": "b.safetensors"})");
  EXPECT_ERROR(open_model(folder.path()), Code::bad_model_file, "'c' is not in 'b.safetensors'");
  index(R"({"a": "b.safetensors", "b": "a.safetensors"})");
  EXPECT_ERROR(open_model(folder.path()), Code::bad_model_file, "'b' is not in 'a.safetensors'");
  index(R"({"a": "a.safetensors", "b": "gone.safetensors"})");
  EXPECT_ERROR(open_model(folder.path()), Code::model_not_found, "gone.safetensors");
  index(R"({"a": "../a.safetensors"})");
  EXPECT_ERROR(open_model(folder.path()), Code::bad_model_file, "not a name in this folder");
  index("[]");
  EXPECT_ERROR(open_model(folder.path()), Code::bad_model_file, "weight_map");
  index("{}");
  EXPECT_ERROR(open_model(folder.path()), Code::bad_model_file, "names no tensor");
}

TEST(OpenModel, RefusesQuantizedFoldersByMethod) {
  const TemporaryFolder folder;
  folder.write("model.safetensors", small_safetensors());
  const std::pair<const char*, const char*> cases[] = {{R"({"quant_method": "fp8"})", "'fp8'"},
                                                       {R"({"quant_method": "gptq", "bits": 4})", "'gptq'"},
                                                       {R"({"quant_method": "awq"})", "'awq'"},
                                                       {R"({"load_in_4bit": true})", "'bitsandbytes'"},
                                                       {R"({})", "unknown method"}};
  for (const auto& [value, words] : cases) {
    folder.write("config.json", std::string(R"({"model_type": "llama", "quantization_config": )") + value + "}");
    EXPECT_ERROR(open_model(folder.path()), Code::unsupported_model, words);
  }
  EXPECT_NE(open_model(folder.path(), false), nullptr);
}

TEST(OpenModel, RefusesWhatIsNotAModel) {
  const TemporaryFolder folder;
  EXPECT_ERROR(open_model(folder.path() / "gone.gguf"), Code::model_not_found, "gone.gguf");
  EXPECT_ERROR(open_model("/dev/null"), Code::bad_file, "device");
  EXPECT_ERROR(open_model(folder.write("empty.gguf", "")), Code::bad_model_file, "GGUF");
  EXPECT_ERROR(open_model(folder.write("text.txt", "hello")), Code::bad_model_file, "GGUF");
  Bytes adapter;
  adapter.header(1, 1).item("general.type", "adapter").tensor("t", {1}, 0, 0).pad(32).number(1.0f);
  EXPECT_ERROR(open_model(folder.write("lora.gguf", adapter.str())), Code::unsupported_model, "'adapter'");
  folder.write("config.json", "{}");
  const auto error = testing::error_of([&] { open_model(folder.write("model.safetensors", small_safetensors())); });
  ASSERT_TRUE(error);
  EXPECT_THAT(error->hint(), ::testing::HasSubstr("give the folder"));

  const TemporaryFolder ggufs;
  ggufs.write("m.gguf", part(0, 1, "a", 1));
  const auto folder_error = testing::error_of([&] { open_model(ggufs.path()); });
  ASSERT_TRUE(folder_error);
  EXPECT_THAT(folder_error->hint(), ::testing::HasSubstr("m.gguf"));

  const fs::path pipe = folder.path() / "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_ERROR(open_model(pipe), Code::bad_file, "pipe");  // and does not wait for a writer

  if (geteuid() != 0) {  // root may read everything
    const fs::path secret = folder.write("secret.gguf", "GGUF");
    fs::permissions(secret, fs::perms::none);
    EXPECT_ERROR(open_model(secret), Code::bad_file, "permission");
  }
}

}  // namespace
}  // namespace autoglm
