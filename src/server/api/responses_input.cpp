// From the Responses API's items to messages.
#include <fmt/format.h>

#include <map>
#include <utility>

#include "server/api/fields.h"
#include "server/api/responses.h"

namespace autoglm {
namespace {

std::string wanted_text(Fields& item, std::string_view name) {
  std::optional<std::string> text = item.text(name);
  if (!text) item.refuse(name, "is missing");
  return std::move(*text);
}

class Items {
 public:
  explicit Items(const std::string& instructions) {
    if (!instructions.empty()) messages_.push_back(Json{{"role", "system"}, {"content", instructions}});
  }

  void add(const Json& item, const std::string& where) {
    Fields fields(item, where + ".");
    const std::string type = fields.text("type").value_or("message");
    fields.ignore({"id", "status"});
    if (type == "message") {
      add_message(fields);
    } else if (type == "function_call") {
      add_call(fields);
    } else if (type == "function_call_output") {
      add_result(fields);
    } else if (type == "reasoning") {
      add_thought(fields);
    } else {
      fields.refuse("type", fmt::format("is '{}'", type.substr(0, 60)),
                    "message, function_call, function_call_output and reasoning are understood");
    }
    fields.done();
  }

  Json messages() {
    flush();
    return std::move(messages_);
  }

 private:
  void add_message(Fields& item) {
    const std::string role = wanted_text(item, "role");
    const Json* content = item.any("content");
    item.ignore({"phase"});
    if (content == nullptr || !(content->is_string() || content->is_array())) {
      item.refuse("content", "must be a text or a list of parts");
    }
    if (content->is_array()) check_parts(item, *content);
    if (role == "assistant") {
      if (assistant_.contains("content") || assistant_.contains("tool_calls")) flush();
      assistant_["content"] = *content;
      return;
    }
    flush();
    messages_.push_back(Json{{"role", role}, {"content", *content}});
  }

  static void check_parts(const Fields& item, const Json& parts) {
    for (const Json& part : parts) {
      const std::string type =
          part.is_object() && part.contains("type") && part["type"].is_string() ? part["type"].get<std::string>() : "";
      if (type == "input_text" || type == "output_text" || type == "text") continue;
      item.refuse("content", fmt::format("has a part of type '{}', and only text is understood", type.substr(0, 40)),
                  "this model reads no images, files or sound");
    }
  }

  void add_thought(Fields& item) {
    if (!assistant_.empty()) flush();
    std::string thought;
    for (const char* name : {"summary", "content"}) {
      const Json* parts = item.any(name);
      if (parts == nullptr) continue;
      if (!parts->is_array()) item.refuse(name, "must be a list");
      std::string text;
      for (const Json& part : *parts) {
        Fields inner(part, fmt::format("a part of {}.", name));
        inner.ignore({"type"});
        text += wanted_text(inner, "text");
        inner.done();
      }
      if (!text.empty()) thought = std::move(text);  // the thought itself rather than its summary
    }
    item.only("encrypted_content", nullptr, "this server writes none, and reads none");
    if (!thought.empty()) assistant_["reasoning_content"] = thought;
  }

  void add_call(Fields& item) {
    const std::string id = wanted_text(item, "call_id");
    const std::string name = wanted_text(item, "name");
    const std::string arguments = wanted_text(item, "arguments");
    names_[id] = name;
    Json call = Json::object();
    call["id"] = id;
    call["type"] = "function";
    call["function"] = Json{{"name", name}, {"arguments", arguments}};
    if (!assistant_.contains("tool_calls")) assistant_["tool_calls"] = Json::array();
    assistant_["tool_calls"].push_back(std::move(call));
  }

  void add_result(Fields& item) {
    const std::string id = wanted_text(item, "call_id");
    const auto name = names_.find(id);
    if (name == names_.end()) {
      item.refuse("call_id", fmt::format("is '{}', and no earlier function_call has it", id.substr(0, 80)));
    }
    const Json* output = item.any("output");
    if (output == nullptr || !(output->is_string() || output->is_array())) {
      item.refuse("output", "must be a text or a list of parts");
    }
    flush();
    Json result = Json::object();
    result["role"] = "tool";
    result["tool_call_id"] = id;
    result["name"] = name->second;
    result["content"] = *output;
    messages_.push_back(std::move(result));
  }

  void flush() {
    if (assistant_.empty()) return;
    Json message = Json{{"role", "assistant"}, {"content", ""}};
    message.update(std::exchange(assistant_, Json::object()));
    messages_.push_back(std::move(message));
  }

  Json messages_ = Json::array();
  Json assistant_ = Json::object();           // its message so far, without the role
  std::map<std::string, std::string> names_;  // of calls, by id
};

}  // namespace

Json response_messages(const Json& input, const std::string& instructions) {
  Items items(instructions);
  // A JSON string is never empty() itself.
  if (input.is_string() ? input.get_ref<const std::string&>().empty() : input.is_array() && input.empty()) {
    throw FieldError("input", "input is empty", "ask something");
  }
  if (input.is_string()) {
    items.add(Json{{"role", "user"}, {"content", input}}, "input");
    return items.messages();
  }
  if (!input.is_array()) throw FieldError("input", "input must be a text or a list of items");
  for (size_t i = 0; i < input.size(); ++i) items.add(input[i], fmt::format("input[{}]", i));
  return items.messages();
}

}  // namespace autoglm
