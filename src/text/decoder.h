// From the texts of entries back to text, as Hugging Face's decoders do it.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/regex.h"

namespace autoglm {

/// Immutable.
class Decoder {
 public:
  virtual ~Decoder() = default;
  /// Changes the texts of a sequence of entries. What comes out of the last decoder is joined.
  virtual void apply(std::vector<std::string>& tokens) const = 0;
  /// What it makes of one entry, apart from rules about the ends of the sequence; may yield half a character.
  virtual void apply_one(std::string& token) const = 0;
  /// apply() may leave out spaces at the beginning of the sequence.
  virtual bool hides_first_spaces() const { return false; }
};
using Decoders = std::vector<std::unique_ptr<Decoder>>;

std::unique_ptr<Decoder> make_byte_level_decoder();
/// "<0xE4>" to its byte. A run of bytes that is not UTF-8 becomes a U+FFFD for each.
std::unique_ptr<Decoder> make_byte_fallback_decoder();
std::unique_ptr<Decoder> make_fuse_decoder();
std::unique_ptr<Decoder> make_replace_decoder(std::string from, std::string to);
std::unique_ptr<Decoder> make_replace_decoder(Regex from, std::string to);
/// Removes up to `start` and `stop` times `content` (one character) at the ends of each text.
std::unique_ptr<Decoder> make_strip_decoder(std::string content, size_t start, size_t stop);
/// `replacement` to a space; in the first text it vanishes if `strip_first`.
std::unique_ptr<Decoder> make_metaspace_decoder(const std::string& replacement, bool strip_first);

}  // namespace autoglm
