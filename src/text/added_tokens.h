// Entries that are cut out of the text before anything else happens to it: control and user-defined tokens.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "text/normalizer.h"
#include "text/trie.h"

namespace autoglm {

/// With Hugging Face's flags. `control` entries match only where they are allowed to; others everywhere.
struct AddedToken {
  std::string text;
  int32_t id = 0;
  bool control = false;
  bool single_word = false;  // not directly behind or before a word character
  bool lstrip = false;       // swallows white space on its left
  bool rstrip = false;
  bool normalized = false;  // matched after normalization, as its normalized text
};

/// A stretch of text: an added token, or (id -1) text between them. `at` is its place in the text.
struct Segment {
  int32_t id = -1;
  size_t begin = 0;
  size_t end = 0;
};

/// Immutable.
class AddedTokens {
 public:
  AddedTokens() = default;
  /// `normalizers` make the texts of `normalized` tokens what they are looked up by.
  AddedTokens(std::vector<AddedToken> tokens, const Normalizers& normalizers);

  /// Where control tokens may match.
  enum class Control { nowhere, everywhere, trusted };
  /// The text cut at the leftmost, of these the longest, token that may match. `normalized` chooses which tokens.
  std::vector<Segment> split(const Text& text, bool normalized, Control control) const;
  bool has_normalized() const { return !normalized_.empty(); }
  size_t bytes() const;

 private:
  struct Found {
    const AddedToken* token = nullptr;
    size_t end = 0;
  };
  Found match(const Text& text, size_t at, bool normalized, Control control) const;

  std::vector<AddedToken> tokens_;
  Trie raw_;  // values are indices of tokens_
  Trie normalized_;
};

}  // namespace autoglm
