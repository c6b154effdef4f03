#include "text/chat_messages.h"

#include <string>

#include "base/error.h"

namespace autoglm {
namespace {

[[noreturn]] void refuse(const std::string& what, std::string hint = {}) {
  fail(Code::bad_request, what, std::move(hint));
}

std::string at(const std::string& where, size_t index) { return where + "[" + std::to_string(index) + "]"; }

/// The member if it is there and not null.
const Json* member(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

void want_string(const Json& object, const char* name, const std::string& where, bool required = false) {
  const Json* value = member(object, name);
  if (value == nullptr && required) refuse(where + "." + name + " is missing");
  if (value != nullptr && !value->is_string())
    refuse(where + "." + name + " must be a string, not " + value->type_name());
}

void want_object(const Json& value, const std::string& where) {
  if (!value.is_object()) refuse(where + " must be an object, not " + value.type_name());
}

/// Numbers that do not fit and nesting that is too deep, wherever they are. Recursion stops at the limit.
void check_values(const Json& value, const std::string& where, int depth) {
  if (depth > kDeepestChatJson) {
    fail(Code::limit_exceeded, where + " is nested deeper than " + std::to_string(kDeepestChatJson) + " levels");
  }
  if (value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) {
    refuse(where + " is a number that does not fit in 64 bits");
  }
  if (value.is_structured()) {
    for (const Json& item : value) check_values(item, where, depth + 1);
  }
}

void check_part(const Json& part, const std::string& where) {
  if (part.is_string()) return;
  want_object(part, where);
  want_string(part, "type", where, true);
  if (part["type"] == "text") want_string(part, "text", where, true);
}

void check_content(const Json& message, const std::string& where, bool may_lack) {
  const Json* content = member(message, "content");
  if (content == nullptr) {
    if (may_lack) return;
    refuse(where + ".content is missing", "only an assistant's message can do without content");
  }
  if (content->is_string()) return;
  if (!content->is_array()) {
    refuse(where + ".content must be a string or a list of parts, not " + content->type_name());
  }
  for (size_t i = 0; i < content->size(); ++i) check_part((*content)[i], at(where + ".content", i));
}

void check_tool_call(const Json& call, const std::string& where) {
  want_object(call, where);
  want_string(call, "id", where);
  want_string(call, "type", where);
  const Json* function = member(call, "function");
  if (function != nullptr) want_object(*function, where + ".function");
  const std::string inner = function != nullptr ? where + ".function" : where;
  const Json& named = function != nullptr ? *function : call;
  want_string(named, "name", inner, true);
  const Json* arguments = member(named, "arguments");
  if (arguments != nullptr && !arguments->is_string() && !arguments->is_object()) {
    refuse(inner + ".arguments must be an object or a string of JSON, not " + arguments->type_name());
  }
}

void check_message(const Json& message, const std::string& where) {
  want_object(message, where);
  want_string(message, "role", where, true);
  const auto& role = message["role"].get_ref<const std::string&>();
  if (role.empty()) refuse(where + ".role is empty");
  for (const char* name : {"name", "tool_name", "tool_call_id", "reasoning_content", "reasoning", "thinking"})
    want_string(message, name, where);
  check_content(message, where, role == "assistant");
  const Json* calls = member(message, "tool_calls");
  if (calls == nullptr) return;
  if (!calls->is_array()) refuse(where + ".tool_calls must be a list, not " + calls->type_name());
  for (size_t i = 0; i < calls->size(); ++i) check_tool_call((*calls)[i], at(where + ".tool_calls", i));
}

/// The list itself, or the member of that name of an object.
Json list_of(Json json, const char* name) {
  if (!json.is_object()) return json;
  const auto found = json.find(name);
  if (found == json.end())
    refuse(std::string("an object without \"") + name + "\": a list or an object that has it is needed");
  return std::move(*found);
}

}  // namespace

// Values deeper than the limit are not even built: copying them would recurse.
Json parse_chat_json(std::string_view text, std::string_view what) {
  const auto shallow = [&](int depth, Json::parse_event_t, Json&) {
    if (depth > kDeepestChatJson + 2) {
      fail(Code::limit_exceeded,
           std::string(what) + " is nested deeper than " + std::to_string(kDeepestChatJson) + " levels");
    }
    return true;
  };
  try {
    return Json::parse(text, shallow);
  } catch (const Json::exception& error) {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: ..." without its tag
    const std::string message = error.what();
    const size_t tag = message.find("] ");
    refuse(std::string(what) +
           " is not JSON: " + (tag == std::string::npos ? message : message.substr(tag + 2)).substr(0, 300));
  }
}

void check_messages(const Json& messages) {
  if (!messages.is_array()) refuse(std::string("messages must be a list, not ") + messages.type_name());
  if (messages.empty()) refuse("messages is empty");
  for (size_t i = 0; i < messages.size(); ++i) {
    check_message(messages[i], at("messages", i));
    check_values(messages[i], at("messages", i), 1);
  }
}

void check_tools(const Json& tools) {
  if (!tools.is_array()) refuse(std::string("tools must be a list, not ") + tools.type_name());
  for (size_t i = 0; i < tools.size(); ++i) {
    const std::string where = at("tools", i);
    want_object(tools[i], where);
    want_string(tools[i], "type", where);
    const Json* function = member(tools[i], "function");
    if (function != nullptr) want_object(*function, where + ".function");
    const Json& named = function != nullptr ? *function : tools[i];
    const std::string inner = function != nullptr ? where + ".function" : where;
    want_string(named, "name", inner, true);
    want_string(named, "description", inner);
    if (const Json* parameters = member(named, "parameters")) want_object(*parameters, inner + ".parameters");
    check_values(tools[i], where, 1);
  }
}

Json parse_messages(std::string_view text) {
  Json messages = list_of(parse_chat_json(text, "messages"), "messages");
  check_messages(messages);
  return messages;
}

Json parse_tools(std::string_view text) {
  Json tools = list_of(parse_chat_json(text, "tools"), "tools");
  check_tools(tools);
  return tools;
}

}  // namespace autoglm
