// The families of models. One file each; the table in registry.cpp is explicit, so that no linker can lose a row.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "format/gguf_config.h"
#include "format/hf_config.h"
#include "format/model_source.h"
#include "model/arch_spec.h"

namespace autoglm {

/// A family: what files call it, and how its specification is read from either container. The readers ask only for keys
/// that they understand; what is left over is refused by the caller.
struct Family {
  std::string_view name;
  std::vector<std::string_view> gguf;  // general.architecture; the first is what `convert` writes
  std::vector<std::string_view> hf;    // model_type
  ArchSpec (*from_gguf)(GgufConfig& config, const ModelSource& source);  // null: no GGUF of its own
  ArchSpec (*from_config)(HfConfig& config, const ModelSource& source);  // null: no folder of its own
};

// One a file.
const Family& llama_family();
const Family& qwen2_family();
const Family& qwen3_family();
const Family& qwen3_moe_family();
const Family& gemma3_family();
const Family& chatglm_family();
const Family& glm_family();
const Family& glm4_family();
const Family& glm4_moe_family();
const Family& glm4_moe_lite_family();

std::span<const Family* const> families();

/// The GGUF architecture that a spec of this family is written as.
std::string_view gguf_architecture(const ArchSpec& spec);

/// Reads and checks the specification. Errors: unsupported_model (an unknown architecture, naming the known ones; a key
/// that is not understood), bad_model_file.
ArchSpec read_spec(const ModelSource& source);
/// The same from a config.json alone; `source` answers which tensors there are.
ArchSpec read_spec(HfConfig& config, const ModelSource& source);

}  // namespace autoglm
