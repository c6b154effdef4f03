// Text on its way out: stop strings are cut off, and reasoning is told from answer. Both hold back text that may still
// turn out to be (part of) a mark, so what has been given out never has to be taken back.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/request.h"

namespace autoglm {

/// Finds the first of several strings in a text that arrives in pieces.
class StopMatcher {
 public:
  /// Empty strings are ignored.
  explicit StopMatcher(std::vector<std::string> stops);
  /// Text that certainly comes before any stop string. After a match: the rest before it, then nothing.
  std::string push(std::string_view text);
  /// The end of the text: what was held back.
  std::string finish();
  bool stopped() const { return stopped_; }
  const std::string& matched() const { return matched_; }

 private:
  std::vector<std::string> stops_;
  std::string matched_;
  std::string held_;
  bool stopped_ = false;
};

/// Splits an answer at the family's reasoning marks. Reasoning is recognized once, at the beginning of the answer:
/// marks that appear later are text. The marks, and line breaks right after them, are given out to nobody.
class ReasoningSplitter {
 public:
  struct Part {
    Event::Kind kind;
    std::string text;
  };
  ReasoningSplitter(std::string_view open, std::string_view close, ReasoningStart start);
  std::vector<Part> push(std::string_view text);
  std::vector<Part> finish();
  /// Before all others: a beginning that is known already. What it was; nothing of it is given out later.
  std::vector<Part> go_on(std::string_view text);

 private:
  void drop(size_t bytes);
  enum class State : uint8_t { before, inside, after_close, answer };
  void consume(std::vector<Part>& parts);

  std::string open_;
  std::string close_;
  State state_;
  std::string held_;
  size_t known_ = 0;  // bytes at the beginning of held_ that are not given out
  bool skip_breaks_ = false;
};

}  // namespace autoglm
