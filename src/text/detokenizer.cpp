#include <algorithm>
#include <array>

#include "text/tokenizer.h"
#include "text/utf8.h"

namespace autoglm {
namespace {

size_t leading_spaces(std::string_view text) { return std::min(text.find_first_not_of(' '), text.size()); }

}  // namespace

std::string Detokenizer::push(int32_t id) {
  std::string piece = tokenizer_->piece(id);
  if (first_ && !piece.empty()) {
    first_ = false;
    // SentencePiece shows no space before the first word. What decode() leaves of this piece alone tells.
    const std::string alone = tokenizer_->decode(std::array{id});
    if (const size_t spaces = leading_spaces(piece); spaces > leading_spaces(alone)) {
      piece.erase(0, spaces - leading_spaces(alone));
    }
  }
  pending_ += piece;
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
  std::string out = utf8::lossy(pending_);
  pending_.clear();
  return out;
}

}  // namespace autoglm
