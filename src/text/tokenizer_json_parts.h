// The components of a tokenizer.json, each refused by name if it is not known.
#pragma once

#include "text/json_read.h"
#include "text/pipeline.h"

namespace autoglm {

// Each reads one component, or nothing where the file has null. Errors: unsupported_model, bad_model_file.
void read_normalizer(json_read::Element value, Normalizers& out, int depth = 0);
void read_pretokenizer(json_read::Element value, PreTokenizers& out, int depth = 0);
void read_decoder(json_read::Element value, Decoders& out, int depth = 0);
/// Appends to parts.prefix and parts.suffix what a post-processor puts around a single text.
void read_postprocessor(json_read::Element value, TokenizerParts& parts, int depth = 0);

}  // namespace autoglm
