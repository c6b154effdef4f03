#include "text/pipeline.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "text/utf8.h"

namespace autoglm {
namespace {

constexpr size_t kMaxText = size_t{256} << 20;

// Valid UTF-8, whatever came in; a replaced byte keeps the trust of what it replaces.
Text sanitize(std::string_view text, const OriginMask* origin) {
  Text out;
  const auto trusted = [&](size_t begin, size_t end) {
    bool all = true;
    for (size_t i = begin; i < end; ++i) all = all && (*origin)[i];
    return static_cast<uint8_t>(all);
  };
  if (utf8::valid(text)) {
    out.bytes = text;
    if (origin != nullptr) out.trusted.assign(origin->begin(), origin->end());
    return out;
  }
  for (size_t at = 0; at < text.size();) {
    const auto one = utf8::scan(text, at);
    out.append(one.valid ? text.substr(at, one.length) : utf8::kReplacement,
               origin != nullptr ? trusted(at, at + one.length) : 0, origin != nullptr);
    at += one.length;
  }
  return out;
}

class Pipeline final : public Tokenizer {
 public:
  explicit Pipeline(TokenizerParts parts) : p_(std::move(parts)) {}

  std::vector<int32_t> encode(std::string_view text, const EncodeOptions& options) const override {
    if (text.size() > kMaxText) fail(Code::limit_exceeded, "a text of over 256 MiB cannot be tokenized at once");
    if (options.origin != nullptr) {
      AUTOGLM_CHECK(options.origin->size() == text.size(), "the origin mask has one entry a byte of the text");
    }
    const auto control = options.origin != nullptr ? AddedTokens::Control::trusted
                         : options.special         ? AddedTokens::Control::everywhere
                                                   : AddedTokens::Control::nowhere;
    std::vector<int32_t> out;
    if (options.add_special) out = p_.prefix;
    const Text input = sanitize(text, options.origin);
    for (const Segment& segment : p_.added.split(input, false, control)) {
      if (segment.id >= 0) {
        out.push_back(segment.id);
      } else {
        encode_run(input.slice(segment.begin, segment.end), segment.begin == 0, control, out);
      }
    }
    if (options.add_special) out.insert(out.end(), p_.suffix.begin(), p_.suffix.end());
    return out;
  }

  std::string piece(int32_t id, bool special) const override {
    check(id);
    if (!special && hidden(id)) return {};
    std::string text(p_.vocab->text(id));
    for (const auto& decoder : p_.decoders) decoder->apply_one(text);
    return text;
  }

  std::string decode(std::span<const int32_t> ids, bool special) const override {
    std::vector<std::string> tokens;
    tokens.reserve(ids.size());
    for (const int32_t id : ids) {
      check(id);
      if (special || !hidden(id)) tokens.emplace_back(p_.vocab->text(id));
    }
    for (const auto& decoder : p_.decoders) decoder->apply(tokens);
    std::string out;
    for (size_t i = 0; i < tokens.size(); ++i) {
      if (i > 0) out += p_.separator;
      out += tokens[i];
    }
    return out;
  }

  int32_t size() const override { return p_.vocab->size(); }
  TokenKind kind(int32_t id) const override {
    check(id);
    return p_.vocab->kind(id);
  }
  std::optional<int32_t> find(std::string_view text) const override { return p_.vocab->find(text); }
  std::optional<int32_t> bos() const override { return p_.bos; }
  std::optional<int32_t> eos() const override { return p_.eos; }
  std::vector<int32_t> ends() const override { return p_.ends; }
  bool adds_bos() const override { return p_.bos && !p_.prefix.empty() && p_.prefix.front() == *p_.bos; }
  bool hides_first_spaces() const override {
    return std::ranges::any_of(p_.decoders, [](const auto& one) { return one->hides_first_spaces(); });
  }
  std::string description() const override { return p_.description; }

  int64_t bytes() const override {
    size_t total = sizeof *this + p_.vocab->bytes() + p_.model->bytes() + p_.added.bytes();
    for (const auto& normalizer : p_.normalizers) total += normalizer->bytes();
    for (const auto& step : p_.pretokenizers) total += step->bytes();
    return static_cast<int64_t>(total);
  }

 private:
  void check(int32_t id) const {
    if (!p_.vocab->has(id)) {
      fail(Code::bad_request,
           "token " + std::to_string(id) + " is outside the vocabulary of " + std::to_string(size()));
    }
  }
  bool hidden(int32_t id) const {
    const TokenKind kind = p_.vocab->kind(id);
    return kind == TokenKind::control || kind == TokenKind::unknown;
  }

  void encode_run(Text run, bool at_start, AddedTokens::Control control, std::vector<int32_t>& out) const {
    const RunPlace place{at_start};
    for (const auto& normalizer : p_.normalizers) normalizer->apply(run, place);
    if (!p_.added.has_normalized()) return encode_text(std::move(run.bytes), place, out);
    for (const Segment& segment : p_.added.split(run, true, control)) {
      if (segment.id >= 0) {
        out.push_back(segment.id);
      } else {
        encode_text(run.bytes.substr(segment.begin, segment.end - segment.begin),
                    RunPlace{at_start && segment.begin == 0}, out);
      }
    }
  }

  void encode_text(std::string text, const RunPlace& place, std::vector<int32_t>& out) const {
    if (text.empty()) return;
    Pieces pieces;
    pieces.ranges.push_back({0, static_cast<uint32_t>(text.size())});
    pieces.text = std::move(text);
    for (const auto& step : p_.pretokenizers) step->apply(pieces, place);
    p_.model->encode(pieces.text, pieces.ranges, out);
  }

  TokenizerParts p_;
};

}  // namespace

std::unique_ptr<Tokenizer> make_tokenizer(TokenizerParts parts) { return std::make_unique<Pipeline>(std::move(parts)); }

}  // namespace autoglm
