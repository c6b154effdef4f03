// From pieces of normalized text to ids: byte-pair merges by rank, merges by score, or the best path of a unigram
// model.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "text/trie.h"
#include "text/vocab.h"

namespace autoglm {

/// Part of a text: [begin, end) in bytes.
struct Range {
  uint32_t begin = 0;
  uint32_t end = 0;
};

/// What becomes of characters that no entry has.
struct Fallback {
  std::optional<int32_t> unknown;
  bool bytes = false;  // "<0xE4>" "<0xBD>" "<0xA0>" where the vocabulary has them
  bool fuse = true;    // several unknown characters in a row become one id
};

/// Ids of "<0x00>" to "<0xFF>"; -1 where the vocabulary lacks one.
std::array<int32_t, 256> byte_ids(const Vocab& vocab);

/// Immutable. The vocabulary that it was made with must outlive it.
class TokenModel {
 public:
  virtual ~TokenModel() = default;
  /// Appends the ids of the pieces of `text` (valid UTF-8).
  virtual void encode(std::string_view text, std::span<const Range> pieces, std::vector<int32_t>& out) const = 0;
  virtual std::string_view name() const = 0;
  virtual size_t bytes() const = 0;
};

/// Merges pairs of entries in the order of a list (GPT-2). `merges` in order of rank; of equal pairs the last counts.
/// Merges into control entries are left out: plain text never becomes one.
/// Errors: bad_model_file if a merge names an entry that does not exist.
struct BpeOptions {
  Fallback fallback;
  bool ignore_merges = false;  // a piece that is an entry is taken whole
};
std::unique_ptr<TokenModel> make_bpe(const Vocab& vocab,
                                     std::span<const std::pair<std::string_view, std::string_view>> merges,
                                     const BpeOptions& options);

/// Merges neighbours whose joined text has the highest score (SentencePiece's BPE). One score an entry. Entries of kind
/// `unused` are split again; `user_defined` is a trie of texts that are taken whole.
std::unique_ptr<TokenModel> make_spm_bpe(const Vocab& vocab, std::vector<float> scores, Trie user_defined,
                                         const Fallback& fallback);

/// Which arithmetic and which entries: SentencePiece's library and Hugging Face's differ.
struct UnigramOptions {
  Fallback fallback;
  bool sentencepiece = false;  // float sums; unused entries never chosen; user-defined ones favoured
};
std::unique_ptr<TokenModel> make_unigram(const Vocab& vocab, std::vector<double> scores, const UnigramOptions& options);

}  // namespace autoglm
