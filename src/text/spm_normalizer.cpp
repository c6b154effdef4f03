// SentencePiece's normalization, and Hugging Face's way to use the same table.
#include <utf8proc.h>

#include <cstring>
#include <utility>

#include "base/error.h"
#include "text/normalizer.h"
#include "text/utf8.h"

namespace autoglm {
namespace {

constexpr std::string_view kEscapedSpace = "\xE2\x96\x81";  // U+2581

// Darts-clone's packing of a unit.
bool has_leaf(uint32_t unit) { return (unit >> 8 & 1) != 0; }
uint32_t value(uint32_t unit) { return unit & 0x7FFFFFFF; }
uint32_t label(uint32_t unit) { return unit & 0x800000FF; }
uint32_t offset(uint32_t unit) { return (unit >> 10) << ((unit & 1u << 9) >> 6); }

}  // namespace

Charsmap::Charsmap(std::string_view blob) {
  if (blob.empty()) return;
  uint32_t size = 0;
  if (blob.size() < 4) fail(Code::bad_model_file, "the tokenizer's precompiled_charsmap is cut");
  std::memcpy(&size, blob.data(), 4);  // little-endian, as the machines that this runs on
  if (size > blob.size() - 4 || size % 4 != 0)
    fail(Code::bad_model_file, "the tokenizer's precompiled_charsmap is cut");
  units_.resize(size / 4);
  if (size > 0) std::memcpy(units_.data(), blob.data() + 4, size);
  replacements_ = blob.substr(4 + size);
}

Charsmap::Match Charsmap::find(std::string_view text, size_t at, bool longest) const {
  Match match;
  if (units_.empty()) return match;
  uint32_t node = offset(units_[0]);
  for (size_t i = at; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    node ^= byte;
    if (byte == 0 || node >= units_.size() || label(units_[node]) != byte) break;
    const uint32_t unit = units_[node];
    node ^= offset(unit);
    if (!has_leaf(unit)) continue;
    if (node >= units_.size()) break;
    const uint32_t where = value(units_[node]);
    if (where >= replacements_.size()) break;
    const size_t end = replacements_.find('\0', where);
    if (end == std::string::npos) break;
    match = {i + 1 - at, std::string_view(replacements_).substr(where, end - where)};
    if (!longest) break;
  }
  // Keys and replacements of a sound table are whole characters. Others are passed over.
  if (match.length > 0 && (!utf8::valid(match.replacement) || !utf8::valid(text.substr(at, match.length)))) return {};
  return match;
}

namespace {

class Precompiled final : public Normalizer {
 public:
  explicit Precompiled(Charsmap charsmap) : charsmap_(std::move(charsmap)) {}

  void apply(Text& text, const RunPlace&) const override {
    Text out;
    out.bytes.reserve(text.bytes.size());
    const std::string_view in = text.bytes;
    for (size_t at = 0; at < in.size();) {
      const size_t end = cluster_end(in, at);
      if (end - at < 6 && put(text, at, end, out)) {
        at = end;
        continue;
      }
      while (at < end) {
        const size_t next = at + utf8::length(in[at]);
        if (!put(text, at, next, out)) out.append(in.substr(at, next - at), trust(text, at, next), text.masked());
        at = next;
      }
    }
    text = std::move(out);
  }

  size_t bytes() const override { return sizeof *this + charsmap_.bytes(); }

 private:
  static uint8_t trust(const Text& text, size_t begin, size_t end) {
    uint8_t all = text.masked() ? 1 : 0;
    for (size_t i = begin; i < end && all != 0; ++i) all = text.trusted[i];
    return all;
  }

  static size_t cluster_end(std::string_view in, size_t at) {
    utf8proc_int32_t state = 0;
    char32_t c = utf8::next(in, at);
    while (at < in.size()) {
      size_t behind = at;
      const char32_t following = utf8::next(in, behind);
      if (utf8proc_grapheme_break_stateful(static_cast<utf8proc_int32_t>(c), static_cast<utf8proc_int32_t>(following),
                                           &state)) {
        break;
      }
      c = following;
      at = behind;
    }
    return at;
  }

  // Replaces [begin, end) as a whole if the table has a key that it begins with; the shortest such key decides.
  bool put(const Text& text, size_t begin, size_t end, Text& out) const {
    const auto match = charsmap_.find(std::string_view(text.bytes).substr(0, end), begin, false);
    if (match.length == 0) return false;
    out.append(match.replacement, trust(text, begin, end), text.masked());
    return true;
  }

  Charsmap charsmap_;
};

class Spm final : public Normalizer {
 public:
  explicit Spm(SpmNormalizerOptions options) : o_(std::move(options)) {}

  void apply(Text& text, const RunPlace& place) const override {
    const std::string_view in = text.bytes;
    size_t at = 0;
    if (o_.remove_extra_whitespaces) {
      for (Step s; at < in.size() && (s = step(in, at)).text == " ";) at += s.length;
    }
    Text out;
    if (at < in.size()) {
      out.bytes.reserve(in.size() + 3);
      const std::string_view space = o_.escape_whitespaces ? kEscapedSpace : " ";
      if (o_.add_dummy_prefix && (place.at_start || !o_.prefix_first_only)) {
        out.append(space, text.masked() ? text.trusted[at] : 0, text.masked());
      }
      bool after_space = o_.remove_extra_whitespaces;
      while (at < in.size()) {
        Step s = step(in, at);
        while (after_space && s.text.starts_with(' ')) s.text.remove_prefix(1);
        if (!s.text.empty()) {
          put(s.text, text.masked() ? text.trusted[at] : 0, space, out, text.masked());
          after_space = s.text.ends_with(' ');
        }
        if (!o_.remove_extra_whitespaces) after_space = false;
        at += s.length;
      }
      if (o_.remove_extra_whitespaces) trim(out, space);
    }
    text = std::move(out);
  }

  size_t bytes() const override { return sizeof *this + o_.charsmap.bytes() + o_.user_defined.bytes(); }

 private:
  struct Step {
    std::string_view text;
    size_t length = 0;
  };

  // What the text begins with, normalized: a user-defined entry, a key of the table, or one character.
  Step step(std::string_view in, size_t at) const {
    size_t whole = 0;
    o_.user_defined.prefixes(in, at, [&](size_t length, uint32_t) { whole = length; });
    if (whole > 0) return {in.substr(at, whole), whole};
    const auto match = o_.charsmap.find(in, at, true);
    if (match.length > 0) return {match.replacement, match.length};
    const size_t one = utf8::length(in[at]);
    return {in.substr(at, one), one};
  }

  static void put(std::string_view piece, uint8_t trust, std::string_view space, Text& out, bool masked) {
    for (size_t i = 0; i < piece.size(); ++i) {
      out.append(piece[i] == ' ' ? space : piece.substr(i, 1), trust, masked);
    }
  }

  static void trim(Text& out, std::string_view space) {
    while (out.bytes.ends_with(space)) out.bytes.resize(out.bytes.size() - space.size());
    if (out.masked()) out.trusted.resize(out.bytes.size());
  }

  SpmNormalizerOptions o_;
};

}  // namespace

std::unique_ptr<Normalizer> make_precompiled(Charsmap charsmap) {
  return std::make_unique<Precompiled>(std::move(charsmap));
}

std::unique_ptr<Normalizer> make_spm_normalizer(SpmNormalizerOptions options) {
  return std::make_unique<Spm>(std::move(options));
}

}  // namespace autoglm
