// From Anthropic's messages and tools to OpenAI's.
#include <fmt/format.h>

#include <map>
#include <string>

#include "server/api/anthropic.h"
#include "server/api/fields.h"

namespace autoglm {
namespace {

[[noreturn]] void refuse(const std::string& where, const std::string& why, std::string hint = {}) {
  throw FieldError(where, where + " " + why, std::move(hint));
}

std::string wanted_text(Fields& block, std::string_view name) {
  std::optional<std::string> text = block.text(name);
  if (!text) block.refuse(name, "is missing");
  return std::move(*text);
}

/// A message's blocks, sorted by what OpenAI's messages have in other places.
class Blocks {
 public:
  Blocks(const Json& message, const std::string& where, std::map<std::string, std::string>& names)
      : role_(message.at("role").get<std::string>()), names_(&names) {
    const Json& content = message.at("content");
    for (size_t i = 0; i < content.size(); ++i) add(content[i], fmt::format("{}.content[{}]", where, i));
  }

  /// What tools returned comes before what the user says.
  void give(Json& messages) {
    for (Json& result : results_) messages.push_back(std::move(result));
    if (role_ != "assistant" && texts_.empty() && !results_.empty()) return;
    Json message = Json::object();
    message["role"] = role_;
    message["content"] = texts_.empty() ? Json("") : std::move(texts_);
    if (!thoughts_.empty()) message["reasoning_content"] = thoughts_;
    if (!calls_.empty()) message["tool_calls"] = std::move(calls_);
    messages.push_back(std::move(message));
  }

 private:
  void add(const Json& block, const std::string& where) {
    Fields fields(block, where + ".");
    const std::string type = wanted_text(fields, "type");
    fields.ignore({"cache_control"});
    const bool assistant = role_ == "assistant";
    if (type == "text") {
      texts_.push_back(Json{{"type", "text"}, {"text", wanted_text(fields, "text")}});
      fields.ignore({"citations"});
    } else if (type == "thinking" && assistant) {
      thoughts_ += wanted_text(fields, "thinking");
      fields.ignore({"signature"});
    } else if (type == "tool_use" && assistant) {
      add_call(fields);
    } else if (type == "tool_result" && !assistant) {
      add_result(fields, where);
    } else {
      refuse(where + ".type",
             fmt::format("is '{}', which is not understood in a message of role {}", type.substr(0, 40),
                         role_.substr(0, 40)),
             "text, thinking and tool_use (assistant), tool_result (user) are; images and files are not");
    }
    fields.done();
  }

  void add_call(Fields& block) {
    const std::string id = wanted_text(block, "id");
    const std::string name = wanted_text(block, "name");
    const Json* input = block.object("input");
    block.ignore({"caller"});
    (*names_)[id] = name;
    Json call = Json::object();
    call["id"] = id;
    call["type"] = "function";
    call["function"] = Json{{"name", name}, {"arguments", input == nullptr ? Json::object() : *input}};
    calls_.push_back(std::move(call));
  }

  void add_result(Fields& block, const std::string& where) {
    const std::string id = wanted_text(block, "tool_use_id");
    const bool failed = block.boolean("is_error").value_or(false);
    Json content = "";
    if (const Json* given = block.any("content")) content = *given;
    if (!content.is_string() && !content.is_array()) refuse(where + ".content", "must be a string or a list of blocks");
    if (failed && content.is_string()) content = "Error: " + content.get<std::string>();
    if (failed && content.is_array()) content.insert(content.begin(), Json{{"type", "text"}, {"text", "Error:"}});
    if (content.is_array()) check_texts(content, where + ".content");
    const auto name = names_->find(id);
    if (name == names_->end()) {
      block.refuse("tool_use_id", fmt::format("is '{}', and no earlier tool_use has this id", id.substr(0, 80)));
    }
    Json result = Json::object();
    result["role"] = "tool";
    result["tool_call_id"] = id;
    result["name"] = name->second;
    result["content"] = std::move(content);
    results_.push_back(std::move(result));
  }

  static void check_texts(const Json& blocks, const std::string& where) {
    for (size_t i = 0; i < blocks.size(); ++i) {
      Fields inner(blocks[i], fmt::format("{}[{}].", where, i));
      if (wanted_text(inner, "type") != "text") inner.refuse("type", "must be text");
      wanted_text(inner, "text");
      inner.ignore({"cache_control", "citations"});
      inner.done();
    }
  }

  std::string role_;
  std::map<std::string, std::string>* names_;  // of calls, by id
  Json texts_ = Json::array();
  Json calls_ = Json::array();
  Json results_ = Json::array();
  std::string thoughts_;
};

}  // namespace

Json openai_messages(const Json& messages, const Json* system) {
  Json result = Json::array();
  if (system != nullptr) result.push_back(Json{{"role", "system"}, {"content", *system}});
  std::map<std::string, std::string> names;
  for (size_t i = 0; i < messages.size(); ++i) {
    const std::string where = fmt::format("messages[{}]", i);
    Fields message(messages[i], where + ".");
    const std::string role = wanted_text(message, "role");
    if (role != "user" && role != "assistant") message.refuse("role", "must be user or assistant");
    const Json* content = message.any("content");
    message.done();
    if (content == nullptr || !(content->is_string() || content->is_array())) {
      message.refuse("content", "must be a string or a list of blocks");
    }
    if (content->is_string()) {
      result.push_back(messages[i]);
    } else {
      Blocks(messages[i], where, names).give(result);
    }
  }
  return result;
}

Json openai_tools(const Json& tools) {
  if (!tools.is_array()) throw FieldError("tools", "tools must be a list");
  Json result = Json::array();
  for (size_t i = 0; i < tools.size(); ++i) {
    Fields tool(tools[i], fmt::format("tools[{}].", i));
    if (tool.text("type").value_or("custom") != "custom") {
      tool.refuse("type", "names a tool that runs on Anthropic's own servers");
    }
    Json function = Json::object();
    function["name"] = wanted_text(tool, "name");
    if (const auto description = tool.text("description")) function["description"] = *description;
    if (const Json* schema = tool.object("input_schema")) function["parameters"] = *schema;
    tool.ignore({"cache_control", "strict", "eager_input_streaming"});
    tool.done();
    result.push_back(Json{{"type", "function"}, {"function", std::move(function)}});
  }
  return result;
}

}  // namespace autoglm
