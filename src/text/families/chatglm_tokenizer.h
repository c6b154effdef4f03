// What ChatGLM3's tokenizer has besides its SentencePiece model: its own code adds it, no file says it.
#pragma once

#include <string_view>
#include <vector>

namespace autoglm {

/// Control tokens that follow the model's pieces in this order, and those before raw text.
struct ExtraTokens {
  std::vector<std::string_view> control;
  std::vector<std::string_view> prefix;
};

/// By tokenizer_config.json's tokenizer_class; empty for classes that add nothing.
ExtraTokens extra_tokens(std::string_view tokenizer_class);

}  // namespace autoglm
