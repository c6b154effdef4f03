#include "text/tool_calls.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "text/python_literal.h"

namespace autoglm {
namespace {

constexpr std::string_view kSpaces = " \t\r\n";
constexpr std::string_view kOpen = "<tool_call>";
constexpr std::string_view kClose = "</tool_call>";
constexpr std::string_view kKey = "<arg_key>";
constexpr std::string_view kKeyEnd = "</arg_key>";
constexpr std::string_view kValue = "<arg_value>";
constexpr std::string_view kValueEnd = "</arg_value>";
constexpr std::string_view kPythonTag = "<|python_tag|>";
constexpr size_t kMaxTools = 512;
constexpr size_t kMaxName = 128;
constexpr size_t kNone = std::string_view::npos;

size_t skip_spaces(std::string_view text, size_t at) {
  return std::min(text.find_first_not_of(kSpaces, at), text.size());
}

std::string_view trim(std::string_view text) {
  const size_t begin = skip_spaces(text, 0);
  return text.substr(begin, text.find_last_not_of(kSpaces) + 1 - begin);
}

// Bytes at the end of `text` that may be the beginning of `mark`.
size_t partial(std::string_view text, std::string_view mark) {
  for (size_t length = std::min(text.size(), mark.size() - 1); length > 0; --length) {
    if (text.ends_with(mark.substr(0, length))) return length;
  }
  return 0;
}

// Whether `text` from `at` on may still become `mark`, which it is not yet.
bool may_become(std::string_view text, size_t at, std::string_view mark) {
  const std::string_view rest = text.substr(at);
  return rest.size() < mark.size() && mark.starts_with(rest);
}

// Behind the object that begins at `at`; kNone while it has no end.
size_t object_end(std::string_view text, size_t at) {
  int depth = 0;
  bool quoted = false;
  for (; at < text.size(); ++at) {
    const char c = text[at];
    if (quoted) {
      if (c == '\\') ++at;
      if (c == '"') quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if ((c == '}' || c == ']') && --depth == 0) {
      return at + 1;
    }
  }
  return kNone;
}

Json parse_object(std::string_view text) {
  Json value = Json::parse(text, nullptr, false);
  return value.is_object() ? value : Json();
}

/// {"name": ..., "arguments" or "parameters": {...}} as a call of a tool that there is.
bool read_call(const ToolSet& tools, const Json& object, ToolCall& call) {
  const auto name = object.find("name");
  if (name == object.end() || !name->is_string() || tools.find(name->get<std::string>()) == nullptr) return false;
  Json arguments = Json::object();
  for (const char* key : {"arguments", "parameters"}) {
    const auto it = object.find(key);
    if (it == object.end() || it->is_null()) continue;
    arguments = it->is_string() ? parse_object(it->get<std::string>()) : *it;
    break;
  }
  if (!arguments.is_object()) return false;
  call = {name->get<std::string>(), arguments.dump()};
  return true;
}

bool good_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxName && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
           c == '.';
  });
}

}  // namespace

ToolSet::ToolSet(const Json& tools) {
  if (tools.is_null()) return;
  if (!tools.is_array()) fail(Code::bad_request, "tools is not a list");
  if (tools.size() > kMaxTools) fail(Code::limit_exceeded, fmt::format("more than {} tools", kMaxTools));
  for (size_t i = 0; i < tools.size(); ++i) {
    const Json& given = tools[i];
    const Json& function = given.is_object() && given.contains("function") ? given["function"] : given;
    if (!function.is_object()) fail(Code::bad_request, fmt::format("tools[{}] is not a function", i));
    const auto name = function.find("name");
    if (name == function.end() || !name->is_string() || !good_name(name->get<std::string>())) {
      fail(Code::bad_request, fmt::format("tools[{}] has no name of letters, digits, '_', '-' or '.'", i));
    }
    Tool tool{name->get<std::string>(), Json::object({{"type", "object"}})};
    if (find(tool.name) != nullptr)
      fail(Code::bad_request, fmt::format("tools[{}]: there are two named {}", i, tool.name));
    const auto parameters = function.find("parameters");
    if (parameters != function.end() && !parameters->is_null()) {
      if (!parameters->is_object())
        fail(Code::bad_request, fmt::format("tools[{}].parameters is not a JSON schema", i));
      tool.parameters = *parameters;
    }
    tools_.push_back(std::move(tool));
  }
}

const ToolSet::Tool* ToolSet::find(std::string_view name) const {
  const auto it = std::ranges::find_if(tools_, [name](const Tool& tool) { return tool.name == name; });
  return it == tools_.end() ? nullptr : &*it;
}

Json typed_argument(const ToolSet::Tool& tool, const std::string& name, const std::string& text) {
  unsigned types = kAnyType;
  try {
    const SchemaRules rules(tool.parameters);
    const Json parameters = rules.flatten(tool.parameters, "#");
    const auto properties = parameters.find("properties");
    if (properties != parameters.end() && properties->is_object() && properties->contains(name)) {
      types = SchemaRules::types(rules.flatten(properties->at(name), "#"), "#");
    }
  } catch (const Error&) {  // a schema with keywords that we do not know still tells most types
    const Json none = Json::object();
    const Json property = tool.parameters.value("properties", none).value(name, none);
    if (property.is_object() && property.value("type", Json()) == Json("string")) types = kString;
  }
  if (types == kString) return text;
  Json value = Json::parse(trim(text), nullptr, false);
  if (value.is_discarded()) return text;
  if (value.is_string() && types == kAnyType) return text;  // quotation marks that the model wrote itself
  return (type_of(value) & types) != 0 || (types & kString) == 0 ? value : Json(text);
}

std::vector<ToolCallSplitter::Part> ToolCallSplitter::push(std::string_view text) {
  std::vector<Part> parts;
  const bool waits = !held_.empty() && !only_text_ && (!tagged() || held_.starts_with(kOpen));
  held_ += text;
  // A call ends with one of these: nothing is looked at in between.
  if (waits && text.find_first_of(">})`\n") == kNone && held_.size() > kMaxName + kOpen.size()) return parts;
  consume(parts, false);
  return parts;
}

std::vector<ToolCallSplitter::Part> ToolCallSplitter::finish() {
  std::vector<Part> parts;
  consume(parts, true);
  if (!behind_call_ && spaces_.size() > known_) parts.push_back({spaces_.substr(known_), {}});
  forget(spaces_.size());
  return parts;
}

void ToolCallSplitter::go_on(std::string_view text) {
  push(text);
  known_ = spaces_.size() + held_.size();
}

// Of spaces_, which comes before held_.
void ToolCallSplitter::forget(size_t bytes) {
  spaces_.erase(0, bytes);
  known_ -= std::min(known_, bytes);
}

void ToolCallSplitter::give_text(std::vector<Part>& parts, size_t bytes) {
  spaces_ += held_.substr(0, bytes);
  held_.erase(0, bytes);
  const size_t end = spaces_.find_last_not_of(kSpaces) + 1;
  if (end == 0) return;
  const size_t begin = std::max(behind_call_ ? skip_spaces(spaces_, 0) : 0, known_);
  if (begin < end) parts.push_back({spaces_.substr(begin, end - begin), {}});
  forget(end);
  behind_call_ = false;
}

void ToolCallSplitter::consume(std::vector<Part>& parts, bool last) {
  if (form_ == ToolCallForm::none) only_text_ = true;
  while (!held_.empty()) {
    if (only_text_) {
      give_text(parts, held_.size());
      return;
    }
    if (tagged()) {
      const size_t begin = held_.find(kOpen);
      const size_t text = begin != kNone ? begin : held_.size() - (last ? 0 : partial(held_, kOpen));
      if (text > 0) give_text(parts, text);
      if (begin == kNone) return;
    } else {
      give_text(parts, skip_spaces(held_, 0));
      if (held_.empty()) return;
    }
    size_t bytes = 0;
    ToolCall call;
    const Found found = parse(last, bytes, call);
    if (found == Found::not_yet && !last) return;
    if (found == Found::call) {
      spaces_ += held_.substr(0, bytes);
      held_.erase(0, bytes);
      forget(spaces_.size());
      behind_call_ = true;
      ++calls_;
      parts.push_back({{}, std::move(call)});
    } else if (tagged()) {
      give_text(parts, kOpen.size());
    } else {
      only_text_ = true;
    }
  }
}

ToolCallSplitter::Found ToolCallSplitter::parse(bool last, size_t& bytes, ToolCall& call) const {
  switch (form_) {
    case ToolCallForm::glm_xml:
      return parse_xml(last, bytes, call);
    case ToolCallForm::hermes_json:
    case ToolCallForm::llama3_json:
      return parse_json(last, bytes, call);
    case ToolCallForm::glm_line_json:
    case ToolCallForm::chatglm3_python:
      return parse_line(bytes, call);
    case ToolCallForm::none:
      break;
  }
  return Found::none;
}

// <tool_call>name, then keys and values between tags, with or without line breaks. The end mark may be missing at the
// end of the answer.
ToolCallSplitter::Found ToolCallSplitter::parse_xml(bool last, size_t& bytes, ToolCall& call) const {
  const std::string_view text = held_;
  size_t at = text.find_first_of("<\n", kOpen.size());
  if (at == kNone) at = text.size();
  const std::string_view name = trim(text.substr(kOpen.size(), at - kOpen.size()));
  if (at == text.size() && !last) return name.size() > kMaxName ? Found::none : Found::not_yet;
  const ToolSet::Tool* tool = tools_->find(name);
  if (tool == nullptr) return Found::none;
  Json arguments = Json::object();
  const auto between = [&](std::string_view open, std::string_view close, std::string_view& inside) {
    at = skip_spaces(text, at);
    if (!text.substr(at).starts_with(open)) return may_become(text, at, open) ? Found::not_yet : Found::none;
    const size_t end = text.find(close, at + open.size());
    if (end == kNone) return Found::not_yet;
    inside = text.substr(at + open.size(), end - at - open.size());
    at = end + close.size();
    return Found::call;
  };
  while (true) {
    at = skip_spaces(text, at);
    const bool ends = text.substr(at).starts_with(kClose);
    if (ends || (last && at == text.size())) {
      bytes = ends ? at + kClose.size() : at;
      call = {tool->name, arguments.dump(-1, ' ', false, Json::error_handler_t::replace)};
      return Found::call;
    }
    if (may_become(text, at, kClose)) return Found::not_yet;
    std::string_view key, value;
    if (const Found found = between(kKey, kKeyEnd, key); found != Found::call) return found;
    if (const Found found = between(kValue, kValueEnd, value); found != Found::call) return found;
    const std::string named(trim(key));
    arguments[named] = typed_argument(*tool, named, std::string(value));
  }
}

// An object with a name and arguments: between tags, or as an answer of its own.
ToolCallSplitter::Found ToolCallSplitter::parse_json(bool last, size_t& bytes, ToolCall& call) const {
  const std::string_view text = held_;
  size_t begin = 0;
  if (tagged()) {
    begin = skip_spaces(text, kOpen.size());
  } else {
    if (calls_ > 0 && text[0] == ';') begin = skip_spaces(text, 1);
    if (may_become(text, begin, kPythonTag)) return Found::not_yet;
    if (text.substr(begin).starts_with(kPythonTag)) begin = skip_spaces(text, begin + kPythonTag.size());
  }
  if (begin == text.size()) return Found::not_yet;
  if (text[begin] != '{') return Found::none;
  const size_t end = object_end(text, begin);
  if (end == kNone) return Found::not_yet;
  const Json object = parse_object(text.substr(begin, end - begin));
  if (!object.is_object() || !read_call(*tools_, object, call)) return Found::none;
  bytes = end;
  if (!tagged()) return Found::call;
  const size_t close = skip_spaces(text, end);
  if (text.substr(close).starts_with(kClose)) {
    bytes = close + kClose.size();
    return Found::call;
  }
  if (close == text.size() || may_become(text, close, kClose)) {
    bytes = text.size();
    return last ? Found::call : Found::not_yet;
  }
  return Found::none;
}

// A tool's name alone on the first line; then an object, or tool_call(...) in Python.
ToolCallSplitter::Found ToolCallSplitter::parse_line(size_t& bytes, ToolCall& call) const {
  const std::string_view text = held_;
  const size_t line = text.find('\n');
  if (line == kNone) {
    const bool may = std::ranges::any_of(
        tools_->all(), [&](const ToolSet::Tool& tool) { return std::string_view(tool.name).starts_with(trim(text)); });
    return may ? Found::not_yet : Found::none;
  }
  const ToolSet::Tool* tool = tools_->find(trim(text.substr(0, line)));
  if (tool == nullptr) return Found::none;
  size_t at = skip_spaces(text, line);
  if (at == text.size()) return Found::not_yet;
  if (form_ == ToolCallForm::glm_line_json) {
    if (text[at] != '{') return Found::none;
    const size_t end = object_end(text, at);
    if (end == kNone) return Found::not_yet;
    const Json object = parse_object(text.substr(at, end - at));
    if (!object.is_object()) return Found::none;
    bytes = end;
    call = {tool->name, object.dump()};
    return Found::call;
  }
  const PythonCall python = read_python_call(text.substr(at));
  if (python.incomplete) return Found::not_yet;
  if (!python.arguments.is_object()) return Found::none;
  bytes = at + python.bytes;
  call = {tool->name, python.arguments.dump(-1, ' ', false, Json::error_handler_t::replace)};
  return Found::call;
}

std::vector<std::pair<int32_t, std::string>> printed_marks(const Tokenizer& tokenizer, const ChatSpec* spec) {
  std::vector<std::pair<int32_t, std::string>> marks;
  if (spec == nullptr) return marks;
  std::vector<std::string_view> texts = {spec->reasoning_open, spec->reasoning_close};
  if (spec->tool_calls == ToolCallForm::hermes_json) texts.insert(texts.end(), {kOpen, kClose});
  if (spec->tool_calls == ToolCallForm::glm_xml) {
    texts.insert(texts.end(), {kOpen, kClose, kKey, kKeyEnd, kValue, kValueEnd});
  }
  for (const std::string_view text : texts) {
    const std::optional<int32_t> id = text.empty() ? std::nullopt : tokenizer.find(text);
    if (id && tokenizer.kind(*id) == TokenKind::control) marks.emplace_back(*id, text);
  }
  return marks;
}

}  // namespace autoglm
