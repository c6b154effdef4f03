#include "server/api/messages.h"

#include <fmt/format.h>

#include "server/api/fields.h"
#include "text/chat_messages.h"

namespace autoglm {
namespace {

std::string joined(const Json& parts, const std::string& where) {
  std::string text;
  for (size_t i = 0; i < parts.size(); ++i) {
    const Json& part = parts[i];
    const std::string type = part.is_string() ? "text" : part.at("type").get<std::string>();
    const bool words = type == "text" || type == "input_text" || type == "output_text";
    if (!words || (!part.is_string() && !(part.contains("text") && part.at("text").is_string()))) {
      throw FieldError(fmt::format("{}[{}].type", where, i),
                       fmt::format("{}[{}].type is '{}', and only text is understood", where, i, type.substr(0, 40)),
                       "this model reads no images, files or sound");
    }
    if (i > 0) text += '\n';
    text += part.is_string() ? part.get<std::string>() : part.at("text").get<std::string>();
  }
  return text;
}

// Clients send arguments back as they got them, a string of JSON; templates want the object. A string that is none
// stays what it is: the call was broken.
void plain_call(Json& call) {
  Json& function = call.contains("function") && call["function"].is_object() ? call["function"] : call;
  const auto arguments = function.find("arguments");
  if (arguments == function.end() || arguments->is_null()) {
    function["arguments"] = Json::object();
    return;
  }
  if (!arguments->is_string()) return;
  const auto& text = arguments->get_ref<const std::string&>();
  if (text.find_first_not_of(" \t\r\n") == std::string::npos) {
    *arguments = Json::object();
    return;
  }
  if (!Json::accept(text)) return;
  Json parsed = parse_chat_json(text, "the arguments of a tool call");  // which bounds how deep they go
  if (parsed.is_object()) *arguments = std::move(parsed);
}

void plain_message(Json& message, const std::string& where) {
  const std::string role = message.at("role").get<std::string>();
  if (role == "developer") message["role"] = "system";
  if (role != "developer" && role != "system" && role != "user" && role != "assistant" && role != "tool" &&
      role != "function" && role != "observation") {
    throw FieldError(where + ".role", fmt::format("{}.role is '{}'", where, role.substr(0, 40)),
                     "roles are system, developer, user, assistant and tool");
  }
  const auto content = message.find("content");
  if (content == message.end()) {
    message["content"] = "";  // beside calls of tools it may be left out; templates expect it
  } else if (content->is_array()) {
    *content = joined(*content, where + ".content");
  }
  if (!message.contains("reasoning_content")) {
    for (const char* name : {"reasoning", "thinking"}) {
      const auto other = message.find(name);
      if (other != message.end() && other->is_string()) message["reasoning_content"] = *other;
    }
  }
  const auto calls = message.find("tool_calls");
  if (calls != message.end() && calls->is_array()) {
    for (Json& call : *calls) plain_call(call);
  }
  if (!message.contains("name") && message.contains("tool_name")) message["name"] = message["tool_name"];  // Ollama's
  // Null members are absent ones: clients send back what they were given.
  Json kept = Json::object();
  for (auto& [key, value] : message.items()) {
    if (!value.is_null() || key == "content") kept[key] = std::move(value);
  }
  message = std::move(kept);
}

// What of the last message is gone on with.
std::string unfinished_field(const Json& messages) {
  const Json& last = messages.back();
  if (!ends_with_assistant(messages)) {
    throw FieldError("messages", "the last message is not the assistant's, so it cannot be gone on with");
  }
  if (last.contains("tool_calls") && !last["tool_calls"].empty()) {
    throw FieldError("messages", "the last message calls tools, so it cannot be gone on with",
                     "add a message of the role tool with what each call returned");
  }
  const bool text = last.contains("content") && !last["content"].is_null();
  const bool thought = last.contains("reasoning_content") || last.contains("reasoning") || last.contains("thinking");
  if (!text && !thought) throw FieldError("messages", "the last message has no text to go on with");
  return text ? "content" : "reasoning_content";
}

}  // namespace

bool ends_with_assistant(const Json& messages) {
  if (!messages.is_array() || messages.empty() || !messages.back().is_object()) return false;
  const auto role = messages.back().find("role");
  return role != messages.back().end() && *role == "assistant";
}

Prompt chat_prompt(const Served& served, const Json& messages, PromptOptions options, bool go_on) {
  Json plain = plain_messages(messages);
  if (!go_on) return make_prompt(*served.tokenizer, *served.chat, plain, options);
  options.unfinished = unfinished_field(messages);
  options.add_generation_prompt = false;
  if (plain.back()["content"].is_null()) plain.back()["content"] = "";  // behind the thought
  try {
    return make_prompt(*served.tokenizer, *served.chat, plain, options);
  } catch (const Error& error) {
    if (error.code() != Code::bad_request) throw;
    throw FieldError("messages", error.what(), error.hint());
  }
}

Json plain_messages(const Json& messages) {
  try {
    check_messages(messages);
  } catch (const Error& error) {
    if (error.code() != Code::bad_request) throw;
    throw FieldError("messages", error.what(), error.hint());
  }
  Json result = messages;
  for (size_t i = 0; i < result.size(); ++i) plain_message(result[i], fmt::format("messages[{}]", i));
  return result;
}

}  // namespace autoglm
