// The Tokenizer that all files become: added tokens, normalizers, pre-tokenizers, a model, decoders.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "text/added_tokens.h"
#include "text/decoder.h"
#include "text/normalizer.h"
#include "text/pretokenizer.h"
#include "text/token_model.h"
#include "text/tokenizer.h"
#include "text/vocab.h"

namespace autoglm {

/// What a file says, in parts.
struct TokenizerParts {
  std::unique_ptr<Vocab> vocab;
  Normalizers normalizers;
  PreTokenizers pretokenizers;
  std::unique_ptr<TokenModel> model;  // refers to *vocab
  AddedTokens added;
  Decoders decoders;
  std::string separator;        // between decoded texts, where the file has no decoder
  std::vector<int32_t> prefix;  // around raw text
  std::vector<int32_t> suffix;
  std::optional<int32_t> bos;
  std::optional<int32_t> eos;
  std::vector<int32_t> ends;
  std::string description;
};

std::unique_ptr<Tokenizer> make_tokenizer(TokenizerParts parts);

}  // namespace autoglm
