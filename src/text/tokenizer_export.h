// A folder's tokenizer as the tokenizer.* keys of a GGUF.
#pragma once

#include "format/model_source.h"

namespace autoglm {

/// Empty for a folder without a tokenizer. GGUF names a pre-tokenizer instead of describing it, so the keys are read
/// back and must give the folder's own ids on a list of hard texts: the first name that does is written.
/// Errors: bad_model_file; unsupported_model if GGUF has no words for this tokenizer.
Metadata tokenizer_metadata(const ModelSource& folder);

}  // namespace autoglm
