// The three kinds of file that describe a tokenizer, each made into the same parts.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "format/model_source.h"
#include "text/pipeline.h"

namespace autoglm {

/// From the tokenizer.ggml.* keys. Null if the metadata has no tokenizer.
std::unique_ptr<Tokenizer> tokenizer_from_gguf(const Metadata& metadata);

/// What the folder's other files add: tokenizer_config.json (BOS, EOS, added tokens, flags) and generation_config.json
/// (the list of ends). Either may be missing.
struct TokenizerSettings {
  std::optional<std::string> tokenizer_config;
  std::optional<std::string> generation_config;
};

/// From the text of a tokenizer.json.
std::unique_ptr<Tokenizer> tokenizer_from_json(std::string_view json, const TokenizerSettings& settings = {});

/// From the bytes of a SentencePiece tokenizer.model.
std::unique_ptr<Tokenizer> tokenizer_from_spm(std::string_view model, const TokenizerSettings& settings = {});

/// A GGUF pre-tokenizer's name ("smollm", "llama-bpe") made into steps.
struct NamedPreTokenizer {
  PreTokenizers steps;
  Normalizers normalizers;
  bool ignore_merges = false;
  bool add_bos = false;
};
/// Error unsupported_model for a name that is not known, with the nearest one as hint.
NamedPreTokenizer named_pretokenizer(std::string_view name);

}  // namespace autoglm
