// Texts to evaluate with: read, named by hash, cut into windows, and kept apart from calibration texts.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "text/tokenizer.h"

namespace autoglm {

/// All that was given of one kind of text under one name.
struct EvaluationText {
  std::string name;  // the file
  std::string kind;  // "chat", "code", ...
  std::string text;  // valid UTF-8
};

/// The texts of a JSONL file: a line is {"text": "...", "kind": "..."}; what else it has is not read. Lines of a kind
/// become one text, in order, with an empty line between them; without "kind" the kind is `kind`. Errors: bad_file that
/// names the line; limit_exceeded beyond 64 kinds.
std::vector<EvaluationText> read_text_lines(std::string_view jsonl, const std::string& name, const std::string& kind);

/// A window of tokens, ready to be read from an empty cache.
struct EvaluationWindow {
  size_t text = 0;    // of the texts
  int64_t begin = 0;  // of its tokens
};

/// The texts as tokens and where the windows lie.
struct EvaluationWindows {
  std::vector<std::vector<int32_t>> tokens;  // by text
  std::vector<EvaluationWindow> windows;
};

/// Tokenizes and cuts each text into windows of `window` tokens; what is left at its end is dropped. With more than
/// `most` (0: no limit) every so-manieth window is taken, so that they are spread over all texts. Error bad_file if
/// nothing fills a window.
EvaluationWindows cut_windows(const std::vector<EvaluationText>& texts, const Tokenizer& tokenizer, int64_t window,
                              int64_t most);

/// Lower-case hex.
std::string quality_sha256(std::string_view bytes);

/// Finds long passages that two texts share, wherever they stand in either: hashes of the consecutive pieces of
/// kPiece bytes of one, looked for at every byte of the other. A shared passage of 2 * kPiece - 1 bytes is found.
class TextFingerprint {
 public:
  static constexpr size_t kPiece = 128;
  explicit TextFingerprint(std::string_view text);
  /// The share of the bytes of `text` that lie in a piece that both have, 0 to 1.
  double overlap(std::string_view text) const;

 private:
  std::unordered_set<uint64_t> pieces_;
};

}  // namespace autoglm
