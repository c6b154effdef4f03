// A tokenizer for models that have none.
#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>

#include "base/error.h"
#include "tune/workload.h"

namespace autoglm {
namespace {

class WordTokenizer final : public Tokenizer {
 public:
  explicit WordTokenizer(int64_t vocabulary) : vocabulary_(vocabulary) {}

  std::vector<int32_t> encode(std::string_view text, const EncodeOptions& /*options*/) const override {
    std::vector<int32_t> tokens;
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = std::min(text.find_first_of(" \n", begin + 1), text.size());
      const uint64_t hash = XXH3_64bits(text.data() + begin, end - begin);
      tokens.push_back(static_cast<int32_t>(hash % static_cast<uint64_t>(vocabulary_)));
      begin = end;
    }
    return tokens;
  }
  std::string piece(int32_t id, bool /*special*/) const override {
    if (id < 0 || id >= vocabulary_) fail(Code::bad_request, fmt::format("there is no token {}", id));
    return fmt::format("{} ", id);
  }
  std::string decode(std::span<const int32_t> ids, bool special) const override {
    std::string text;
    for (const int32_t id : ids) text += piece(id, special);
    return text;
  }
  int32_t size() const override { return static_cast<int32_t>(vocabulary_); }
  TokenKind kind(int32_t /*id*/) const override { return TokenKind::normal; }
  std::optional<int32_t> find(std::string_view /*text*/) const override { return std::nullopt; }
  std::optional<int32_t> bos() const override { return std::nullopt; }
  std::optional<int32_t> eos() const override { return std::nullopt; }
  std::vector<int32_t> ends() const override { return {}; }
  bool adds_bos() const override { return false; }
  std::string description() const override { return "words"; }
  int64_t bytes() const override { return static_cast<int64_t>(sizeof *this); }

 private:
  int64_t vocabulary_;
};

}  // namespace

std::unique_ptr<Tokenizer> word_tokenizer(int64_t vocabulary) { return std::make_unique<WordTokenizer>(vocabulary); }

}  // namespace autoglm
