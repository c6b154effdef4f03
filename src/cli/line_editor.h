// One line (or one paste) from a person at a terminal: libedit with wide characters.
//
// A paste of several lines is one message: the terminal is asked for bracketed paste, the pasted text is kept aside,
// and a mark such as [paste 1: 200 lines] stands for it in the line until it is sent. Where stdin is no terminal, lines
// are read as they are. Ctrl-C while typing drops the line and nothing else.
#pragma once

#include <memory>
#include <optional>
#include <string>

namespace autoglm {

class LineEditor {
 public:
  /// `history_file` may be empty: history then lasts for this run. A file that cannot be read or written is no error.
  explicit LineEditor(std::string history_file);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  /// The next message, UTF-8, without its line break; nothing at the end of the input (Ctrl-D).
  std::optional<std::string> read(const std::string& prompt);
  bool interactive() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace autoglm
