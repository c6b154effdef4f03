// From messages to a prompt: the one way that `run`, `chat`, `template` and a server take.
#pragma once

#include <string>
#include <vector>

#include "engine/request.h"
#include "format/model_source.h"
#include "text/chat_spec.h"
#include "text/tokenizer.h"

namespace autoglm {

/// A rendered conversation.
struct Prompt {
  std::string text;
  std::vector<int32_t> tokens;
  ReasoningStart reasoning = ReasoningStart::none;
  bool continues = false;  // Request::continues
  std::string said;        // Request::said
};

/// What may be asked of a rendering besides the messages.
struct PromptOptions {
  Json tools;                       // null: none
  Json variables = Json::object();  // for the template
  bool add_generation_prompt = true;
  /// The text of the last message that the answer goes on with: "content", or "reasoning_content" (a thought that has
  /// not ended). Empty: the answer is a message of its own.
  std::string unfinished{};
};

/// Messages are [{"role", "content", ...}]. Control tokens are recognized only in what the template wrote.
/// Errors: bad_request (no message, or not a list of objects with a role; a last message that cannot be gone on with),
/// bad_template, limit_exceeded.
Prompt make_prompt(const Tokenizer& tokenizer, const ChatModel& chat, const Json& messages,
                   const PromptOptions& options = {});

/// Raw text: no template; BOS and the like as the file says. Control tokens in it are recognized, because there is
/// nobody else who could have written them.
Prompt make_raw_prompt(const Tokenizer& tokenizer, std::string_view text);

/// A conversation that grows turn by turn.
class Conversation {
 public:
  Conversation(const Tokenizer& tokenizer, const ChatModel& chat) : tokenizer_(&tokenizer), chat_(&chat) {}

  void set_system(std::string_view text);  // empty: none
  void add_user(std::string_view text);
  void add_assistant(std::string_view text, std::string_view reasoning = {});
  void drop_last();  // the last message, if there is one that is not the system's
  void clear();      // keeps the system message
  const Json& messages() const { return messages_; }
  void set_messages(Json messages);  // Error bad_request as in make_prompt
  /// --think: nothing is said to the template if it has no such variable.
  void set_thinking(bool on);

  /// The prompt for the next answer.
  Prompt prompt() const { return make_prompt(*tokenizer_, *chat_, messages_, options_); }

 private:
  const Tokenizer* tokenizer_;
  const ChatModel* chat_;
  Json messages_ = Json::array();
  PromptOptions options_;
};

/// What the model's makers recommend: a folder's generation_config.json, or a GGUF's general.sampling.* keys; where
/// neither says anything, temperature 0.7 and top-p 0.95. `said` tells which.
struct SamplingDefaults {
  SamplingParams params;
  std::string origin;
};
SamplingDefaults sampling_defaults(const ModelSource& source);

}  // namespace autoglm
