// Calls of tools in a model's answer: told from the text while it arrives, in the form that its family writes.
//
// A call is given out when it is complete: then it is known to be one. What looks like a call and is none (a tool that
// nobody offered, arguments that are no JSON, an end that never comes) is text, to the byte.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/chat_spec.h"
#include "text/grammar/schema_rules.h"

namespace autoglm {

/// The tools of a request, in OpenAI's form: [{"type": "function", "function": {"name", "description", "parameters"}}],
/// or the functions alone.
class ToolSet {
 public:
  struct Tool {
    std::string name;
    Json parameters;  // a JSON schema; {"type": "object"} where none was given
  };
  /// Error bad_request with what is wrong. Names are of letters, digits, '_', '-' and '.'.
  explicit ToolSet(const Json& tools);
  const std::vector<Tool>& all() const { return tools_; }
  bool empty() const { return tools_.empty(); }
  const Tool* find(std::string_view name) const;

 private:
  std::vector<Tool> tools_;
};

struct ToolCall {
  std::string name;
  std::string arguments;  // a JSON object
  friend bool operator==(const ToolCall&, const ToolCall&) = default;
};

/// A value between tags, as the tool's schema has it: text for a string, else JSON, and text where that fails.
Json typed_argument(const ToolSet::Tool& tool, const std::string& name, const std::string& text);

/// Splits an answer into text and calls. White space before and behind a call is given out to nobody.
class ToolCallSplitter {
 public:
  struct Part {
    std::string text;  // of a text
    ToolCall call;     // name empty: a text
    bool is_call() const { return !call.name.empty(); }
  };
  /// `tools` outlives it.
  ToolCallSplitter(ToolCallForm form, const ToolSet& tools) : form_(form), tools_(&tools) {}
  std::vector<Part> push(std::string_view text);
  std::vector<Part> finish();
  /// Before all others: a beginning that is known already, of which nothing is given out but what completes a call.
  void go_on(std::string_view text);
  int64_t calls() const { return calls_; }

 private:
  enum class Found : uint8_t { call, not_yet, none };
  void consume(std::vector<Part>& parts, bool last);
  void give_text(std::vector<Part>& parts, size_t bytes);
  void forget(size_t bytes);
  bool tagged() const { return form_ == ToolCallForm::hermes_json || form_ == ToolCallForm::glm_xml; }
  Found parse(bool last, size_t& bytes, ToolCall& call) const;
  Found parse_xml(bool last, size_t& bytes, ToolCall& call) const;
  Found parse_json(bool last, size_t& bytes, ToolCall& call) const;
  Found parse_line(size_t& bytes, ToolCall& call) const;

  ToolCallForm form_;
  const ToolSet* tools_;
  std::string held_;
  std::string spaces_;  // at the end of the text so far: nobody's if a call follows
  size_t known_ = 0;    // bytes at the beginning of spaces_ and held_ that are not given out
  bool behind_call_ = false;
  bool only_text_ = false;  // forms that begin an answer: it has begun otherwise
  int64_t calls_ = 0;
};

/// Control tokens that stand for marks of the family's reasoning and calls, with the text that they mean: a file may
/// have them as tokens that print nothing.
std::vector<std::pair<int32_t, std::string>> printed_marks(const Tokenizer& tokenizer, const ChatSpec* spec);

}  // namespace autoglm
