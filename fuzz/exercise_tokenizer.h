// What a fuzz target does with a tokenizer that loaded.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "text/tokenizer.h"

namespace autoglm {

/// Encodes and decodes texts, among them the input itself. Aborts if an id is outside the vocabulary.
inline void exercise(const Tokenizer& tokenizer, std::string_view input) {
  using std::literals::operator""sv;
  for (std::string_view text :
       {input.substr(0, 2048), "Hello  world 123\n\n\t'll \xE4\xBD\xA0\xF0\x9F\x98\x80 e\xCC\x81"sv,
        "\xFF\xE4\xBD\0<s></s><unk><|user|>"sv}) {
    const OriginMask foreign(text.size(), false);
    for (const EncodeOptions& options :
         {EncodeOptions{}, EncodeOptions{.special = true, .add_special = true}, EncodeOptions{.origin = &foreign}}) {
      try {
        const std::vector<int32_t> ids = tokenizer.encode(text, options);
        for (const int32_t id : ids) {
          if (id < 0 || id >= tokenizer.size()) std::abort();
        }
        (void)tokenizer.decode(ids);
        (void)tokenizer.decode(ids, true);
        Detokenizer detokenizer(tokenizer);
        for (const int32_t id : ids) (void)detokenizer.push(id);
        (void)detokenizer.finish();
      } catch (const Error&) {  // a regular expression that gives up
      }
    }
  }
  for (int32_t id = 0; id < std::min(tokenizer.size(), 64); ++id) (void)tokenizer.piece(id, true);
  (void)tokenizer.bytes();
  (void)tokenizer.ends();
}

}  // namespace autoglm
