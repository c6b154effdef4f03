// The entries of a vocabulary, and the look-up by text.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace autoglm {

/// All texts in one string and one open-addressing index: a vocabulary of 150,000 takes about 4 MB. Immutable.
class Vocab {
 public:
  struct Entry {
    std::string_view text;
    TokenKind kind = TokenKind::unused;
  };

  Vocab() = default;
  /// Entry i gets id i. Of equal texts the last one is found. Error bad_model_file if the texts exceed 1 GiB.
  explicit Vocab(std::span<const Entry> entries);

  int32_t size() const { return static_cast<int32_t>(kinds_.size()); }
  bool has(int32_t id) const { return id >= 0 && id < size(); }
  std::string_view text(int32_t id) const;
  TokenKind kind(int32_t id) const { return kinds_[static_cast<size_t>(id)]; }
  std::optional<int32_t> find(std::string_view text) const;
  /// find() for each text; -1: none. Several times as fast for many texts of a vocabulary that no cache holds, because
  /// its places in memory are waited for together.
  void find_all(std::span<const std::string_view> texts, std::span<int32_t> ids) const;
  /// find(), but never a control or unknown entry: what plain text may become.
  std::optional<int32_t> find_plain(std::string_view text) const;
  /// Bytes of the longest entry.
  size_t longest() const { return longest_; }
  size_t bytes() const;

 private:
  std::optional<int32_t> find_from(size_t slot, std::string_view wanted) const;

  std::string texts_;
  std::vector<uint32_t> ends_;
  std::vector<TokenKind> kinds_;
  std::vector<uint32_t> index_;  // id + 1, or 0
  size_t longest_ = 0;
};

/// The byte that an entry written "<0x41>" stands for, or nothing.
std::optional<uint8_t> byte_of(std::string_view text);
/// "<0x41>".
std::string byte_name(uint8_t byte);

/// The number that SentencePiece's `ModelProto.SentencePiece.Type` and GGUF's `tokenizer.ggml.token_type` share.
TokenKind sentencepiece_kind(int64_t type);

}  // namespace autoglm
