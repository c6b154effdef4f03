#include "text/added_tokens.h"

#include <algorithm>
#include <utility>

#include "text/utf8.h"

namespace autoglm {
namespace {

bool word_before(const std::string& text, size_t at) {
  if (at == 0) return false;
  size_t begin = utf8::previous(text, at);
  return utf8::is_word(utf8::next(text, begin));
}

bool word_behind(const std::string& text, size_t at) { return at < text.size() && utf8::is_word(utf8::next(text, at)); }

size_t spaces_before(const std::string& text, size_t at, size_t stop) {
  while (at > stop) {
    size_t begin = utf8::previous(text, at);
    const size_t here = begin;
    if (!utf8::is_space(utf8::next(text, begin))) break;
    at = here;
  }
  return at;
}

size_t spaces_behind(const std::string& text, size_t at) {
  while (at < text.size()) {
    size_t next = at;
    if (!utf8::is_space(utf8::next(text, next))) break;
    at = next;
  }
  return at;
}

}  // namespace

AddedTokens::AddedTokens(std::vector<AddedToken> tokens, const Normalizers& normalizers) : tokens_(std::move(tokens)) {
  for (size_t i = 0; i < tokens_.size(); ++i) {
    if (!tokens_[i].normalized) {
      raw_.insert(tokens_[i].text, static_cast<uint32_t>(i));
      continue;
    }
    Text text{tokens_[i].text, {}};
    for (const auto& normalizer : normalizers) normalizer->apply(text, {});
    normalized_.insert(text.bytes, static_cast<uint32_t>(i));
  }
}

AddedTokens::Found AddedTokens::match(const Text& text, size_t at, bool normalized, Control control) const {
  Found best;
  const auto allowed = [&](const AddedToken& token, size_t end) {
    if (!token.control || control == Control::everywhere) return true;
    if (control == Control::nowhere) return false;
    return std::all_of(text.trusted.begin() + static_cast<std::ptrdiff_t>(at),
                       text.trusted.begin() + static_cast<std::ptrdiff_t>(end), [](uint8_t t) { return t != 0; });
  };
  (normalized ? normalized_ : raw_).prefixes(text.bytes, at, [&](size_t length, uint32_t index) {
    const AddedToken& token = tokens_[index];
    if (allowed(token, at + length)) best = {&token, at + length};
  });
  return best;
}

std::vector<Segment> AddedTokens::split(const Text& text, bool normalized, Control control) const {
  std::vector<Segment> out;
  const std::string& bytes = text.bytes;
  size_t open = 0;  // where the text that no segment covers yet begins
  if ((normalized ? normalized_ : raw_).empty()) {
    if (!bytes.empty()) out.push_back({-1, 0, bytes.size()});
    return out;
  }
  for (size_t at = 0; at < bytes.size();) {
    const Found found = match(text, at, normalized, control);
    if (found.token == nullptr) {
      at += utf8::length(bytes[at]);
      continue;
    }
    size_t begin = at;
    size_t end = found.end;
    at = end;
    const AddedToken& token = *found.token;
    if (token.single_word && (word_before(bytes, begin) || word_behind(bytes, end))) continue;
    if (token.lstrip) begin = spaces_before(bytes, begin, open);
    if (token.rstrip) end = spaces_behind(bytes, end);
    // A token inside white space that the one before it swallowed keeps only what is left.
    begin = std::max(begin, open);
    if (end < begin) end = begin;
    if (open < begin) out.push_back({-1, open, begin});
    out.push_back({token.id, begin, end});
    open = end;
    at = std::max(at, end);
  }
  if (open < bytes.size()) out.push_back({-1, open, bytes.size()});
  return out;
}

size_t AddedTokens::bytes() const {
  size_t total = raw_.bytes() + normalized_.bytes() + tokens_.capacity() * sizeof(AddedToken);
  for (const AddedToken& token : tokens_) total += token.text.capacity();
  return total;
}

}  // namespace autoglm
