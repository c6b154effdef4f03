#include "text/pretokenizer.h"

#include <array>
#include <utility>

#include "text/utf8.h"

namespace autoglm {

const std::string_view kGpt2Pattern = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

namespace {

// GPT-2's table: printable Latin-1 bytes stand for themselves, the others for U+0100 and on, in order.
constexpr bool prints(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
}

struct ByteTable {
  std::array<char32_t, 256> character{};
  std::array<int16_t, 324> byte{};
  constexpr ByteTable() {
    for (auto& b : byte) b = -1;
    char32_t next = 256;
    for (int b = 0; b < 256; ++b) {
      const char32_t c = prints(b) ? static_cast<char32_t>(b) : next++;
      character[static_cast<size_t>(b)] = c;
      byte[c] = static_cast<int16_t>(b);
    }
  }
};
constexpr ByteTable kBytes;

// A stretch of a piece: matched by the pattern or between matches.
struct Part {
  Range range;
  bool matched;
};

void keep_all(const std::vector<Part>& parts, std::vector<Range>& out) {
  for (const Part& part : parts) out.push_back(part.range);
}

void keep_unmatched(const std::vector<Part>& parts, std::vector<Range>& out) {
  for (const Part& part : parts) {
    if (!part.matched) out.push_back(part.range);
  }
}

void join_equal(const std::vector<Part>& parts, std::vector<Range>& out) {
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i > 0 && parts[i].matched == parts[i - 1].matched) {
      out.back().end = parts[i].range.end;
    } else {
      out.push_back(parts[i].range);
    }
  }
}

void join_with_previous(const std::vector<Part>& parts, std::vector<Range>& out) {
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i > 0 && parts[i].matched && !parts[i - 1].matched) {
      out.back().end = parts[i].range.end;
    } else {
      out.push_back(parts[i].range);
    }
  }
}

void join_with_next(const std::vector<Part>& parts, std::vector<Range>& out) {
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i > 0 && !parts[i].matched && parts[i - 1].matched) {
      out.back().end = parts[i].range.end;
    } else {
      out.push_back(parts[i].range);
    }
  }
}

// Cuts every piece; matches(text of the piece, found) calls found(begin, end) in order.
template <class Matches>
void split(Pieces& pieces, SplitBehavior behavior, bool invert, Matches&& matches) {
  std::vector<Range> cut;
  cut.reserve(pieces.ranges.size());
  std::vector<Part> parts;
  std::vector<Range> kept;
  for (const Range& piece : pieces.ranges) {
    parts.clear();
    uint32_t at = piece.begin;
    matches(pieces.view(piece), [&](size_t begin, size_t end) {
      const Range found{piece.begin + static_cast<uint32_t>(begin), piece.begin + static_cast<uint32_t>(end)};
      if (found.begin > at) parts.push_back({{at, found.begin}, invert});
      parts.push_back({found, !invert});
      at = found.end;
    });
    if (at < piece.end) parts.push_back({{at, piece.end}, invert});
    kept.clear();
    switch (behavior) {
      case SplitBehavior::isolated:
        keep_all(parts, kept);
        break;
      case SplitBehavior::removed:
        keep_unmatched(parts, kept);
        break;
      case SplitBehavior::contiguous:
        join_equal(parts, kept);
        break;
      case SplitBehavior::merged_with_previous:
        join_with_previous(parts, kept);
        break;
      case SplitBehavior::merged_with_next:
        join_with_next(parts, kept);
        break;
    }
    for (const Range& range : kept) {
      if (range.begin < range.end) cut.push_back(range);
    }
  }
  pieces.ranges = std::move(cut);
}

class RegexSplit final : public PreTokenizer {
 public:
  RegexSplit(Regex pattern, SplitBehavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}
  void apply(Pieces& pieces, const RunPlace&) const override {
    Regex::Matcher matcher(pattern_);
    split(pieces, behavior_, invert_, [&](std::string_view text, auto&& found) { matcher.each(text, found); });
  }
  size_t bytes() const override { return sizeof *this + pattern_.bytes(); }

 private:
  Regex pattern_;
  SplitBehavior behavior_;
  bool invert_;
};

class StringSplit final : public PreTokenizer {
 public:
  StringSplit(std::string pattern, SplitBehavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}
  void apply(Pieces& pieces, const RunPlace&) const override {
    if (pattern_.empty()) return;
    split(pieces, behavior_, invert_, [&](std::string_view text, auto&& found) {
      for (size_t at = text.find(pattern_); at != std::string_view::npos;) {
        found(at, at + pattern_.size());
        at = text.find(pattern_, at + pattern_.size());
      }
    });
  }

 private:
  std::string pattern_;
  SplitBehavior behavior_;
  bool invert_;
};

class CharacterSplit final : public PreTokenizer {
 public:
  CharacterSplit(bool (*is)(char32_t), SplitBehavior behavior) : is_(is), behavior_(behavior) {}
  void apply(Pieces& pieces, const RunPlace&) const override {
    split(pieces, behavior_, false, [&](std::string_view text, auto&& found) {
      for (size_t at = 0; at < text.size();) {
        const size_t begin = at;
        if (is_(utf8::next(text, at))) found(begin, at);
      }
    });
  }

 private:
  bool (*is_)(char32_t);
  SplitBehavior behavior_;
};

// Writes every piece anew: change(text of the piece, index, out).
template <class Change>
void rewrite(Pieces& pieces, Change&& change) {
  std::string out;
  out.reserve(pieces.text.size() * 2);
  for (size_t i = 0; i < pieces.ranges.size(); ++i) {
    const auto begin = static_cast<uint32_t>(out.size());
    change(pieces.view(pieces.ranges[i]), i, out);
    pieces.ranges[i] = {begin, static_cast<uint32_t>(out.size())};
  }
  pieces.text = std::move(out);
}

class ByteLevel final : public PreTokenizer {
 public:
  ByteLevel(bool add_prefix_space, bool regex) : add_prefix_space_(add_prefix_space) {
    if (regex) words_ = make_split(Regex(kGpt2Pattern), SplitBehavior::isolated, false);
  }
  void apply(Pieces& pieces, const RunPlace& place) const override {
    if (add_prefix_space_) {
      rewrite(pieces, [](std::string_view piece, size_t, std::string& out) {
        if (!piece.starts_with(' ')) out += ' ';
        out += piece;
      });
    }
    if (words_) words_->apply(pieces, place);
    rewrite(pieces, [](std::string_view piece, size_t, std::string& out) {
      for (const char c : piece) utf8::append(out, byte_to_character(static_cast<uint8_t>(c)));
    });
  }
  size_t bytes() const override { return sizeof *this + (words_ ? words_->bytes() : 0); }

 private:
  bool add_prefix_space_;
  std::unique_ptr<PreTokenizer> words_;
};

class Metaspace final : public PreTokenizer {
 public:
  explicit Metaspace(MetaspaceOptions options) : o_(std::move(options)) {}
  void apply(Pieces& pieces, const RunPlace& place) const override {
    rewrite(pieces, [&](std::string_view piece, size_t i, std::string& out) {
      const bool wanted =
          o_.prepend == PrependScheme::always || (o_.prepend == PrependScheme::first && place.at_start && i == 0);
      if (wanted && !piece.starts_with(' ') && !piece.starts_with(o_.replacement)) out += o_.replacement;
      for (const char c : piece) {
        if (c == ' ') {
          out += o_.replacement;
        } else {
          out += c;
        }
      }
    });
    if (!o_.split) return;
    split(pieces, SplitBehavior::merged_with_next, false, [&](std::string_view text, auto&& found) {
      for (size_t at = text.find(o_.replacement); at != std::string_view::npos;) {
        found(at, at + o_.replacement.size());
        at = text.find(o_.replacement, at + o_.replacement.size());
      }
    });
  }

 private:
  MetaspaceOptions o_;
};

}  // namespace

char32_t byte_to_character(uint8_t byte) { return kBytes.character[byte]; }

int character_to_byte(char32_t c) { return c < kBytes.byte.size() ? kBytes.byte[c] : -1; }

std::unique_ptr<PreTokenizer> make_split(Regex pattern, SplitBehavior behavior, bool invert) {
  return std::make_unique<RegexSplit>(std::move(pattern), behavior, invert);
}
std::unique_ptr<PreTokenizer> make_split(std::string pattern, SplitBehavior behavior, bool invert) {
  return std::make_unique<StringSplit>(std::move(pattern), behavior, invert);
}
std::unique_ptr<PreTokenizer> make_split(bool (*is)(char32_t), SplitBehavior behavior) {
  return std::make_unique<CharacterSplit>(is, behavior);
}
std::unique_ptr<PreTokenizer> make_byte_level(bool add_prefix_space, bool regex) {
  return std::make_unique<ByteLevel>(add_prefix_space, regex);
}
std::unique_ptr<PreTokenizer> make_metaspace(MetaspaceOptions options) {
  return std::make_unique<Metaspace>(std::move(options));
}

}  // namespace autoglm
