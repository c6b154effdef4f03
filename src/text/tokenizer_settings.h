// What tokenizer_config.json and generation_config.json say about a tokenizer.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "text/added_tokens.h"
#include "text/tokenizer_files.h"

namespace autoglm {

struct SettingsRead {
  std::optional<std::string> bos;  // texts
  std::optional<std::string> eos;
  std::optional<bool> add_bos;
  std::optional<bool> add_eos;
  std::optional<bool> legacy;  // SentencePiece: a space also after each added token
  std::optional<bool> add_prefix_space;
  std::string tokenizer_class;
  std::vector<AddedToken> added;  // added_tokens_decoder
  std::vector<int32_t> ends;      // generation_config's eos_token_id
};

/// Errors: bad_model_file.
SettingsRead read_settings(const TokenizerSettings& settings);

/// Sets bos, eos and ends of `parts` from the settings; parts.vocab must be there. Ids outside of it are passed over.
void apply_settings(const SettingsRead& settings, TokenizerParts& parts);

}  // namespace autoglm
