// Text to token ids and back.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace autoglm {

class ModelSource;

/// What a vocabulary entry is. Control tokens act on the model and are never printed; user-defined tokens
/// (`<think>`, `<tool_call>`) are printed and match everywhere.
enum class TokenKind : uint8_t { normal, unknown, control, user_defined, unused, byte };

/// Who wrote each byte of a rendered prompt: true where the template wrote it, false where a user or a document did.
/// One entry a byte of the text.
using OriginMask = std::vector<bool>;

struct EncodeOptions {
  /// Recognize control tokens in the text (Hugging Face's default). User-defined tokens always match.
  bool special = false;
  /// Control tokens match only where every byte has origin true. Overrides `special`. Null: no mask.
  const OriginMask* origin = nullptr;
  /// Add what the file says belongs around raw text (BOS, EOS). Rendered chat text passes false.
  bool add_special = false;
};

/// Immutable after loading; encode and decode may be called from several threads at once.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  virtual std::vector<int32_t> encode(std::string_view text, const EncodeOptions& options = {}) const = 0;

  /// Bytes that `id` adds to the text (empty for control tokens unless `special`). May be half a UTF-8 character:
  /// Detokenizer puts them together. An id outside the vocabulary is Error bad_request.
  virtual std::string piece(int32_t id, bool special = false) const = 0;
  /// The whole sequence decoded, as Hugging Face's decode(clean_up_tokenization_spaces=False) does.
  virtual std::string decode(std::span<const int32_t> ids, bool special = false) const = 0;

  virtual int32_t size() const = 0;
  virtual TokenKind kind(int32_t id) const = 0;
  /// The id whose entry's text is exactly this ("<|user|>"), or nothing.
  virtual std::optional<int32_t> find(std::string_view text) const = 0;
  virtual std::optional<int32_t> bos() const = 0;
  virtual std::optional<int32_t> eos() const = 0;
  /// Every id that the file itself names as an end: eos, eot, eom, and generation_config's eos_token_id list.
  virtual std::vector<int32_t> ends() const = 0;
  virtual bool adds_bos() const = 0;
  /// decode() may leave out spaces at the beginning of a sequence, which piece() shows.
  virtual bool hides_first_spaces() const { return false; }
  /// What kind it is and its pre-tokenizer's name, for `inspect`: "bpe smollm", "spm", "unigram".
  virtual std::string description() const = 0;
  /// Memory it holds, for the ledger.
  virtual int64_t bytes() const = 0;
};

/// From GGUF metadata, or a folder's tokenizer.json, tokenizer.model (with tokenizer_config.json and
/// generation_config.json). Null if the source has no tokenizer at all. Errors: bad_model_file, unsupported_model
/// (an unknown pre-tokenizer or component, by name).
std::unique_ptr<Tokenizer> load_tokenizer(const ModelSource& source);

/// Puts pieces together and gives out whole UTF-8 characters only. Bytes that can never become valid come out as
/// U+FFFD.
class Detokenizer {
 public:
  /// `continues`: the tokens follow others, whose text was given out before.
  explicit Detokenizer(const Tokenizer& tokenizer, bool continues = false)
      : tokenizer_(&tokenizer), at_start_(!continues) {}
  /// Text that became complete with this token (may be empty).
  std::string push(int32_t id);
  /// What is left at the end; incomplete bytes become U+FFFD.
  std::string finish();

 private:
  const Tokenizer* tokenizer_;
  std::string pending_;        // bytes that may still become a character
  std::vector<int32_t> head_;  // the tokens so far, while they are nothing but white space
  bool at_start_;
};

}  // namespace autoglm
