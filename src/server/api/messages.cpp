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

// A call without its function's arguments is allowed; templates want an object or a string.
void plain_message(Json& message, const std::string& where) {
  const std::string role = message.at("role").get<std::string>();
  if (role == "developer") message["role"] = "system";
  if (role != "developer" && role != "system" && role != "user" && role != "assistant" && role != "tool" &&
      role != "function" && role != "observation") {
    throw FieldError(where + ".role", fmt::format("{}.role is '{}'", where, role.substr(0, 40)),
                     "roles are system, developer, user, assistant and tool");
  }
  const auto content = message.find("content");
  if (content != message.end() && content->is_array()) *content = joined(*content, where + ".content");
  if (!message.contains("reasoning_content")) {
    for (const char* name : {"reasoning", "thinking"}) {
      const auto other = message.find(name);
      if (other != message.end() && other->is_string()) message["reasoning_content"] = *other;
    }
  }
  // Null members are absent ones: clients send back what they were given.
  Json kept = Json::object();
  for (auto& [key, value] : message.items()) {
    if (!value.is_null() || key == "content") kept[key] = std::move(value);
  }
  message = std::move(kept);
}

}  // namespace

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
