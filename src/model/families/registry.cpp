#include <algorithm>
#include <array>
#include <string>

#include "base/error.h"
#include "model/families/family.h"

namespace autoglm {
namespace {

const Family* find_family(const std::vector<std::string_view> Family::* names, std::string_view word) {
  for (const Family* family : families()) {
    const auto& known = family->*names;
    if (std::find(known.begin(), known.end(), word) != known.end()) return family;
  }
  return nullptr;
}

[[noreturn]] void fail_unknown(const std::vector<std::string_view> Family::* names, const std::string& word) {
  std::string known;
  for (const Family* family : families()) {
    for (std::string_view name : family->*names) known += (known.empty() ? "" : ", ") + std::string(name);
  }
  fail(Code::unsupported_model, "the architecture '" + word + "' is not supported", "supported are: " + known);
}

ArchSpec finish(ArchSpec spec, const Family& family) {
  spec.family = family.name;
  check_spec(spec);
  return spec;
}

ArchSpec read_gguf(const ModelSource& source) {
  GgufConfig config(source.metadata());
  const Family* family = find_family(&Family::gguf, config.architecture());
  if (!family || !family->from_gguf) fail_unknown(&Family::gguf, config.architecture());
  ArchSpec spec = family->from_gguf(config, source);
  config.finish();
  return finish(std::move(spec), *family);
}

}  // namespace

std::span<const Family* const> families() {
  static const std::array all = {&llama_family(),    &qwen2_family(),        &qwen3_family(), &qwen3_moe_family(),
                                 &gemma3_family(),   &chatglm_family(),      &glm_family(),   &glm4_family(),
                                 &glm4_moe_family(), &glm4_moe_lite_family()};
  return all;
}

std::string_view gguf_architecture(const ArchSpec& spec) {
  for (const Family* family : families()) {
    if (family->name == spec.family) return family->gguf.at(0);
  }
  AUTOGLM_CHECK(false, "a spec of no family");
}

ArchSpec read_spec(HfConfig& config, const ModelSource& source) {
  const std::string type = config.model_type();
  const Family* family = find_family(&Family::hf, type);
  if (!family || !family->from_config) fail_unknown(&Family::hf, type);
  ArchSpec spec = family->from_config(config, source);
  config.finish();
  return finish(std::move(spec), *family);
}

ArchSpec read_spec(const ModelSource& source) {
  if (source.container() == Container::gguf) return read_gguf(source);
  const auto json = source.file("config.json");
  if (!json) fail(Code::bad_model_file, "the folder has no config.json", "it must lie beside the safetensors files");
  HfConfig config(*json);
  return read_spec(config, source);
}

}  // namespace autoglm
