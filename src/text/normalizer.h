// What happens to text before it is cut into pieces.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/regex.h"
#include "text/trie.h"

namespace autoglm {

/// Valid UTF-8, and who wrote each byte of it.
struct Text {
  std::string bytes;
  std::vector<uint8_t> trusted;  // one a byte: 1 where the template wrote it; empty without a mask

  bool masked() const { return !trusted.empty(); }
  Text slice(size_t begin, size_t end) const;
  /// Appends `piece`, which came from source bytes that were all trusted or not.
  void append(std::string_view piece, uint8_t trust, bool with_mask);
};

/// What a normalizer needs to know about its text besides the text.
struct RunPlace {
  bool at_start = true;  // the run is the beginning of what was given to encode()
};

/// Immutable.
class Normalizer {
 public:
  virtual ~Normalizer() = default;
  virtual void apply(Text& text, const RunPlace& place) const = 0;
  virtual size_t bytes() const { return sizeof *this; }
};
using Normalizers = std::vector<std::unique_ptr<Normalizer>>;

enum class UnicodeForm { nfc, nfd, nfkc, nfkd };

std::unique_ptr<Normalizer> make_unicode_normalizer(UnicodeForm form);
std::unique_ptr<Normalizer> make_lowercase();
/// Removes marks (the categories M*).
std::unique_ptr<Normalizer> make_strip_accents();
/// Removes white space at the ends.
std::unique_ptr<Normalizer> make_strip(bool left, bool right);
/// Puts `prefix` before a text that is not empty; with `first_only` only at the beginning of what is encoded.
std::unique_ptr<Normalizer> make_prepend(std::string prefix, bool first_only = false);
std::unique_ptr<Normalizer> make_replace(std::string from, std::string to);
std::unique_ptr<Normalizer> make_replace(Regex from, std::string to);
/// Control characters out, unusual spaces to spaces (SentencePiece's "nmt").
std::unique_ptr<Normalizer> make_nmt();

/// SentencePiece's table of replacements: a double array (Darts) over byte strings, and the replacements.
/// https://github.com/google/sentencepiece/blob/master/src/normalizer.h
class Charsmap {
 public:
  Charsmap() = default;
  /// Errors: bad_model_file if sizes do not fit. Any content is then safe to search.
  explicit Charsmap(std::string_view blob);
  bool empty() const { return units_.empty(); }
  struct Match {
    size_t length = 0;  // bytes of the text that are replaced; 0: none
    std::string_view replacement;
  };
  /// The longest or the shortest key that text[at...] begins with.
  Match find(std::string_view text, size_t at, bool longest) const;
  size_t bytes() const { return units_.capacity() * sizeof(uint32_t) + replacements_.capacity(); }

 private:
  std::vector<uint32_t> units_;
  std::string replacements_;
};

/// Hugging Face's "Precompiled": the table applied to whole grapheme clusters of under 6 bytes, else to characters.
std::unique_ptr<Normalizer> make_precompiled(Charsmap charsmap);

/// All that SentencePiece does before it segments.
struct SpmNormalizerOptions {
  Charsmap charsmap;
  Trie user_defined;  // passes unchanged
  bool add_dummy_prefix = true;
  bool prefix_first_only = false;  // the prefix only at the beginning of what is encoded, not after each added token
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;  // space -> U+2581
};
std::unique_ptr<Normalizer> make_spm_normalizer(SpmNormalizerOptions options);

}  // namespace autoglm
