// What a family's conversations look like: data, one file a family in text/families/.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace autoglm {

class ModelSource;

/// How tool calls look in the model's output (parsers come with the server).
enum class ToolCallForm : uint8_t { none, hermes_json, glm_line_json, glm_xml, chatglm3_python, llama3_json };

/// A family's conversations. A row of the registry in text/families/NAME.cpp.
struct ChatSpec {
  std::string_view family;
  std::vector<std::string_view> architectures;  // GGUF general.architecture and Hugging Face model_type values
  std::string_view default_template;            // for files without one
  std::vector<std::string_view> ends;           // texts that end a turn wherever the vocabulary has them
  std::string_view reasoning_open;              // "<think>" or empty
  std::string_view reasoning_close;
  std::string_view thinking_variable;  // template variable that --think sets ("enable_thinking"), or empty
  ToolCallForm tool_calls = ToolCallForm::none;
  std::string_view marker = {};  // where families share an architecture: a text that its vocabularies have
};

/// The spec for an architecture name (falls back to a plain default for unknown ones: the loader refuses those anyway).
const ChatSpec& chat_spec(std::string_view architecture);
/// The same, choosing among families that share an architecture by what the vocabulary has.
const ChatSpec& chat_spec(std::string_view architecture, const Tokenizer& tokenizer);
/// Every family, for tests and listings.
std::vector<const ChatSpec*> chat_specs();

/// Everything that turns messages into a prompt for one model.
struct ChatModel {
  const ChatSpec* spec = nullptr;
  std::shared_ptr<const ChatTemplate> chat_template;  // the file's, else the spec's default
  std::string template_source;                        // "file" or "built-in FAMILY"
  std::string bos_token, eos_token;                   // text, for the template
  std::vector<int32_t> ends;                          // sorted: the file's and the spec's
};

/// Architecture of a source: GGUF general.architecture, or config.json's model_type.
std::string architecture(const ModelSource& source);

/// The template is the file's (GGUF metadata, chat_template.jinja, tokenizer_config.json's default) or the family's.
/// One that does not parse is an Error when it is first rendered: a broken template must not keep plain text from
/// running.
ChatModel load_chat_model(const ModelSource& source, const Tokenizer& tokenizer);

}  // namespace autoglm
