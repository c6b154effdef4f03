// The GGUF metadata of a specification, as llama.cpp names the keys.
#pragma once

#include "format/model_source.h"
#include "model/arch_spec.h"

namespace autoglm {

/// general.architecture and all `{architecture}.*` keys. What GGUF has no key for in this architecture, but the reader
/// here understands (attention.scale), is written too. Error unsupported_model: a structure that GGUF cannot express.
Metadata gguf_metadata(const ArchSpec& spec);

/// How much larger this model's attention scale is than the one that llama.cpp assumes: GGUF has no key for it. Where q
/// is normed the writer multiplies that norm by it; elsewhere gguf_metadata() writes attention.scale.
float scale_to_fold(const ArchSpec& spec);

}  // namespace autoglm
