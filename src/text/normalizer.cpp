#include "text/normalizer.h"

#include <utf8proc.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "text/utf8.h"

namespace autoglm {

Text Text::slice(size_t begin, size_t end) const {
  Text part;
  part.bytes = bytes.substr(begin, end - begin);
  if (masked()) {
    part.trusted.assign(trusted.begin() + static_cast<std::ptrdiff_t>(begin),
                        trusted.begin() + static_cast<std::ptrdiff_t>(end));
  }
  return part;
}

void Text::append(std::string_view piece, uint8_t trust, bool with_mask) {
  bytes += piece;
  if (with_mask) trusted.insert(trusted.end(), piece.size(), trust);
}

namespace {

// 1 if all of text[begin, end) is trusted. An empty stretch is not.
uint8_t trust_of(const Text& text, size_t begin, size_t end) {
  if (!text.masked() || begin == end) return 0;
  return std::all_of(text.trusted.begin() + static_cast<std::ptrdiff_t>(begin),
                     text.trusted.begin() + static_cast<std::ptrdiff_t>(end), [](uint8_t t) { return t != 0; });
}

// Applies change(character, bytes of it, out) to each character.
template <class Change>
void each_character(Text& text, Change&& change) {
  Text out;
  out.bytes.reserve(text.bytes.size());
  std::string piece;
  for (size_t at = 0; at < text.bytes.size();) {
    const size_t begin = at;
    const char32_t c = utf8::next(text.bytes, at);
    piece.clear();
    change(c, std::string_view(text.bytes).substr(begin, at - begin), piece);
    out.append(piece, trust_of(text, begin, at), text.masked());
  }
  text = std::move(out);
}

class Unicode final : public Normalizer {
 public:
  explicit Unicode(UnicodeForm form) {
    const bool compose = form == UnicodeForm::nfc || form == UnicodeForm::nfkc;
    const bool compatible = form == UnicodeForm::nfkc || form == UnicodeForm::nfkd;
    options_ = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | (compose ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE) |
                                              (compatible ? UTF8PROC_COMPAT : 0));
  }

  // Segments begin at characters below U+00A0, which no form changes or joins with what stands before them (a mark may
  // follow them). Long runs of such characters are copied as they are.
  void apply(Text& text, const RunPlace&) const override {
    const std::string& in = text.bytes;
    Text out;
    out.bytes.reserve(in.size());
    for (size_t at = 0; at < in.size();) {
      size_t plain = at;
      while (plain < in.size() && static_cast<unsigned char>(in[plain]) < 0x80) ++plain;
      // The last plain character may be the base of a mark that follows.
      const size_t safe = plain == in.size() || plain == at ? plain : plain - 1;
      for (; at < safe; ++at) out.append({&in[at], 1}, text.masked() ? text.trusted[at] : 0, text.masked());
      if (at == in.size()) break;
      size_t end = at + utf8::length(in[at]);
      while (end < in.size() && !begins_segment(in, end)) end += utf8::length(in[end]);
      append_segment(text, at, end, out);
      at = end;
    }
    text = std::move(out);
  }

 private:
  // A character that nothing before it can change or join: ASCII, or an ideograph without a decomposition.
  static bool begins_segment(const std::string& in, size_t at) {
    if (static_cast<unsigned char>(in[at]) < 0x80) return true;
    const char32_t c = utf8::next(in, at);
    return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF);
  }

  void append_segment(const Text& text, size_t begin, size_t end, Text& out) const {
    std::vector<utf8proc_int32_t> characters;
    for (size_t at = begin; at < end;) {
      utf8proc_int32_t parts[32];  // the longest decomposition has 18
      int boundary = 0;
      const auto c = static_cast<utf8proc_int32_t>(utf8::next(text.bytes, at));
      const auto n = utf8proc_decompose_char(c, parts, 32, options_, &boundary);
      if (n < 0 || n > 32) fail(Code::internal, "Unicode normalization failed");
      characters.insert(characters.end(), parts, parts + n);
    }
    order_marks(characters);
    const auto n =
        utf8proc_normalize_utf32(characters.data(), static_cast<utf8proc_ssize_t>(characters.size()), options_);
    if (n < 0) fail(Code::internal, "Unicode normalization failed");
    std::string piece;
    for (size_t i = 0; i < static_cast<size_t>(n); ++i) utf8::append(piece, static_cast<char32_t>(characters[i]));
    out.append(piece, trust_of(text, begin, end), text.masked());
  }

  // The Canonical Ordering Algorithm. The library's own is quadratic in a run of marks.
  static void order_marks(std::vector<utf8proc_int32_t>& characters) {
    struct Mark {
      utf8proc_propval_t combining;
      size_t place;
      utf8proc_int32_t character;
    };
    const auto combining = [&](size_t i) { return utf8proc_get_property(characters[i])->combining_class; };
    std::vector<Mark> marks;
    for (size_t at = 0; at < characters.size(); ++at) {
      marks.clear();
      const size_t first = at;
      for (; at < characters.size() && combining(at) != 0; ++at) marks.push_back({combining(at), at, characters[at]});
      std::sort(marks.begin(), marks.end(), [](const Mark& a, const Mark& b) {
        return a.combining != b.combining ? a.combining < b.combining : a.place < b.place;
      });
      for (size_t i = 0; i < marks.size(); ++i) characters[first + i] = marks[i].character;
    }
  }

  utf8proc_option_t options_;
};

class Lowercase final : public Normalizer {
 public:
  void apply(Text& text, const RunPlace&) const override {
    each_character(text, [](char32_t c, std::string_view, std::string& out) {
      if (c == 0x130) {
        out = "i\xCC\x87";  // the one character whose lower case is two (SpecialCasing.txt)
      } else {
        utf8::append(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
      }
    });
  }
};

class StripAccents final : public Normalizer {
 public:
  void apply(Text& text, const RunPlace&) const override {
    each_character(text, [](char32_t c, std::string_view same, std::string& out) {
      const auto kind = utf8proc_category(static_cast<utf8proc_int32_t>(c));
      if (kind < UTF8PROC_CATEGORY_MN || kind > UTF8PROC_CATEGORY_ME) out = same;
    });
  }
};

class Nmt final : public Normalizer {
 public:
  void apply(Text& text, const RunPlace&) const override {
    each_character(text, [](char32_t c, std::string_view same, std::string& out) {
      const bool removed =
          (c >= 1 && c <= 8) || c == 0x0B || (c >= 0x0E && c <= 0x1F) || c == 0x7F || c == 0x8F || c == 0x9F;
      const bool space = c == 0x09 || c == 0x0A || c == 0x0C || c == 0x0D || c == 0x1680 ||
                         (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xFEFF ||
                         c == 0xFFFD;
      if (!removed) out = space ? std::string_view(" ") : same;
    });
  }
};

class Strip final : public Normalizer {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}
  void apply(Text& text, const RunPlace&) const override {
    size_t begin = 0;
    size_t end = text.bytes.size();
    for (size_t at = 0; left_ && at < end; begin = at) {
      if (!utf8::is_space(utf8::next(text.bytes, at))) break;
    }
    while (right_ && end > begin) {
      size_t at = utf8::previous(text.bytes, end);
      const size_t last = at;
      if (!utf8::is_space(utf8::next(text.bytes, at))) break;
      end = last;
    }
    text = text.slice(begin, end);
  }

 private:
  bool left_;
  bool right_;
};

class Prepend final : public Normalizer {
 public:
  Prepend(std::string prefix, bool first_only) : prefix_(std::move(prefix)), first_only_(first_only) {}
  void apply(Text& text, const RunPlace& place) const override {
    if (text.bytes.empty() || (first_only_ && !place.at_start)) return;
    text.bytes.insert(0, prefix_);
    if (!text.trusted.empty()) text.trusted.insert(text.trusted.begin(), prefix_.size(), text.trusted.front());
  }

 private:
  std::string prefix_;
  bool first_only_;
};

// Collects a text in which stretches are replaced.
class Rewrite {
 public:
  explicit Rewrite(Text& text) : text_(text) { out_.bytes.reserve(text.bytes.size()); }
  void replace(size_t begin, size_t end, std::string_view with) {
    keep(begin);
    out_.append(with, trust_of(text_, begin, end), text_.masked());
    at_ = end;
  }
  void finish() {
    keep(text_.bytes.size());
    text_ = std::move(out_);
  }

 private:
  void keep(size_t end) {
    out_.bytes.append(text_.bytes, at_, end - at_);
    if (text_.masked()) {
      out_.trusted.insert(out_.trusted.end(), text_.trusted.begin() + static_cast<std::ptrdiff_t>(at_),
                          text_.trusted.begin() + static_cast<std::ptrdiff_t>(end));
    }
  }
  Text& text_;
  Text out_;
  size_t at_ = 0;
};

class ReplaceString final : public Normalizer {
 public:
  ReplaceString(std::string from, std::string to) : from_(std::move(from)), to_(std::move(to)) {}
  void apply(Text& text, const RunPlace&) const override {
    if (from_.empty()) return;
    size_t at = text.bytes.find(from_);
    if (at == std::string::npos) return;
    Rewrite rewrite(text);
    for (; at != std::string::npos; at = text.bytes.find(from_, at + from_.size())) {
      rewrite.replace(at, at + from_.size(), to_);
    }
    rewrite.finish();
  }

 private:
  std::string from_;
  std::string to_;
};

class ReplaceRegex final : public Normalizer {
 public:
  ReplaceRegex(Regex from, std::string to) : from_(std::move(from)), to_(std::move(to)) {}
  void apply(Text& text, const RunPlace&) const override {
    Rewrite rewrite(text);
    Regex::Matcher matcher(from_);
    matcher.each(text.bytes, [&](size_t begin, size_t end) { rewrite.replace(begin, end, to_); });
    rewrite.finish();
  }
  size_t bytes() const override { return sizeof *this + from_.bytes(); }

 private:
  Regex from_;
  std::string to_;
};

}  // namespace

std::unique_ptr<Normalizer> make_unicode_normalizer(UnicodeForm form) { return std::make_unique<Unicode>(form); }
std::unique_ptr<Normalizer> make_lowercase() { return std::make_unique<Lowercase>(); }
std::unique_ptr<Normalizer> make_strip_accents() { return std::make_unique<StripAccents>(); }
std::unique_ptr<Normalizer> make_strip(bool left, bool right) { return std::make_unique<Strip>(left, right); }
std::unique_ptr<Normalizer> make_prepend(std::string prefix, bool first_only) {
  return std::make_unique<Prepend>(std::move(prefix), first_only);
}
std::unique_ptr<Normalizer> make_replace(std::string from, std::string to) {
  return std::make_unique<ReplaceString>(std::move(from), std::move(to));
}
std::unique_ptr<Normalizer> make_replace(Regex from, std::string to) {
  return std::make_unique<ReplaceRegex>(std::move(from), std::move(to));
}
std::unique_ptr<Normalizer> make_nmt() { return std::make_unique<Nmt>(); }

}  // namespace autoglm
