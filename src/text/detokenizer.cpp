#include <algorithm>

#include "text/tokenizer.h"
#include "text/utf8.h"

namespace autoglm {
namespace {

constexpr size_t kMaxHead = 256;  // a model that emits nothing but spaces is not held back for ever

size_t leading_spaces(const std::string& text) { return std::min(text.find_first_not_of(' '), text.size()); }

}  // namespace

std::string Detokenizer::push(int32_t id) {
  if (at_start_) {
    // SentencePiece shows no space before the first word, or none of several. What decode() makes of the first spaces
    // tells; they are given out with the first word.
    head_.push_back(id);
    std::string text;
    for (const int32_t one : head_) text += tokenizer_->piece(one);
    const size_t spaces = leading_spaces(text);
    if (spaces == text.size() && head_.size() < kMaxHead) return {};
    at_start_ = false;
    const size_t kept = std::min(leading_spaces(tokenizer_->decode(head_)), spaces);
    pending_ = text.substr(spaces - kept);
    head_.clear();
  } else {
    pending_ += tokenizer_->piece(id);
  }
  std::string out;
  size_t at = 0;
  while (at < pending_.size()) {
    const utf8::Scan one = utf8::scan(pending_, at);
    if (one.incomplete) break;
    out += one.valid ? std::string_view(pending_).substr(at, one.length) : utf8::kReplacement;
    at += one.length;
  }
  pending_.erase(0, at);
  return out;
}

std::string Detokenizer::finish() {
  std::string out = at_start_ ? tokenizer_->decode(head_) : utf8::lossy(pending_);
  pending_.clear();
  head_.clear();
  return out;
}

}  // namespace autoglm
