#include "text/chat_template.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "text/jinja_interpreter.h"
#include "text/jinja_parser.h"

namespace autoglm {
namespace {

using jinja::Interpreter;
using jinja::Value;

constexpr size_t kLongestTemplate = 4 << 20;

/// Roles that templates know. Some templates build control tokens from them ('<|' + message.role + '|>'), so a role
/// from this closed list counts as the template's own word; any other is the sender's.
constexpr std::array kRoles = {"system",      "user",     "assistant", "tool", "developer",
                               "observation", "function", "ipython",   "model"};

class ParsedTemplate : public ChatTemplate {
 public:
  ParsedTemplate(std::unique_ptr<jinja::Program> program, const TemplateLimits& limits)
      : program_(std::move(program)), limits_(limits) {}

  Rendered render(const TemplateInput& input) const override;

 private:
  std::unique_ptr<jinja::Program> program_;
  TemplateLimits limits_;
};

/// A message as Hugging Face hands it on: reasoning is found under each of its names.
Value message_value(Interpreter& in, const Json& message) {
  static constexpr std::array kReasoning = {"reasoning_content", "thinking", "reasoning"};
  const Json* reasoning = nullptr;
  for (const char* name : kReasoning) {
    const auto it = message.find(name);
    if (reasoning == nullptr && it != message.end() && !it->is_null()) reasoning = &*it;
  }
  std::vector<std::pair<Value, Value>> items;
  const auto add = [&](const std::string& key, const Json& value) {
    const bool role = key == "role" && value.is_string() &&
                      std::find(kRoles.begin(), kRoles.end(), value.get_ref<const std::string&>()) != kRoles.end();
    items.emplace_back(in.string(key, false),
                       role ? in.string(value.get_ref<const std::string&>(), true) : in.from_json(value, 2));
  };
  if (reasoning != nullptr) add("thinking", *reasoning);
  for (const auto& [key, value] : message.items()) add(key, value);
  if (reasoning != nullptr) add("reasoning_content", *reasoning);
  return in.dict(std::move(items));
}

Rendered ParsedTemplate::render(const TemplateInput& input) const {
  if (!input.messages.is_array()) fail(Code::bad_request, "messages must be a list");
  Interpreter in(*program_, limits_, input.now);
  std::vector<Value> messages;
  for (size_t i = 0; i < input.messages.size(); ++i) {
    if (!input.messages[i].is_object())
      fail(Code::bad_request, "messages[" + std::to_string(i) + "] must be an object");
    messages.push_back(message_value(in, input.messages[i]));
  }
  in.define("bos_token", in.string(input.bos_token, true));
  in.define("eos_token", in.string(input.eos_token, true));
  in.define("documents", Value::none());
  static constexpr std::array kOwn = {"messages", "tools", "add_generation_prompt"};
  if (!input.variables.is_null() && !input.variables.is_object())
    fail(Code::bad_request, "template variables must be an object");
  for (const auto& [name, value] : input.variables.items()) {
    if (std::find(kOwn.begin(), kOwn.end(), name) != kOwn.end()) {
      fail(Code::bad_request, "the template variable '" + name + "' is set by the request itself");
    }
    in.define(name, in.from_json(value));
  }
  in.define("messages", in.list(std::move(messages)));
  in.define("tools", in.from_json(input.tools));
  in.define("add_generation_prompt", Value::of(input.add_generation_prompt));
  const jinja::Text text = in.run();
  return {text.bytes(), text.mask()};
}

}  // namespace

std::unique_ptr<ChatTemplate> ChatTemplate::parse(std::string_view source, const TemplateLimits& limits) {
  if (source.size() > kLongestTemplate) {
    fail(Code::limit_exceeded, "the chat template is longer than " + std::to_string(kLongestTemplate >> 20) + " MiB");
  }
  return std::make_unique<ParsedTemplate>(jinja::parse_program(source, limits.depth), limits);
}

}  // namespace autoglm
