// Making values: each is charged to the memory budget, and its nesting is limited.
#include <algorithm>

#include "base/error.h"
#include "text/jinja_builtins.h"
#include "text/jinja_interpreter.h"

namespace autoglm::jinja {

Value constant_string(std::string text) {
  auto str = std::make_shared<Str>();
  str->chars = count_chars(text);
  str->text = Text(std::move(text), true);
  return Value::of(Kind::string, std::move(str));
}

Value Interpreter::string(Text text, bool markup) {
  const auto bytes = static_cast<int64_t>(text.memory() + sizeof(Str));
  step_bytes(text.size());
  auto str = std::make_shared<Str>();
  str->chars = count_chars(text.view());
  str->text = std::move(text);
  str->markup = markup;
  return object(Kind::string, std::move(str), bytes);
}

void Interpreter::set_depth(Object& object, const Value& child) const {
  if (child.object != nullptr) object.depth = std::max(object.depth, child.object->depth + 1);
  if (object.depth > limits_.depth) {
    fail(Code::limit_exceeded, "chat template, line " + std::to_string(line_) + ": values nested deeper than " +
                                   std::to_string(limits_.depth) + " levels");
  }
}

Value Interpreter::list(std::vector<Value> items, Kind kind) {
  step(static_cast<int64_t>(items.size() / 4));
  auto made = std::make_shared<List>();
  for (const Value& item : items) set_depth(*made, item);
  const auto bytes = static_cast<int64_t>(items.capacity() * sizeof(Value) + sizeof(List));
  made->items = std::move(items);
  return object(kind, std::move(made), bytes);
}

Value Interpreter::group(Value key, Value items) {
  auto made = std::make_shared<List>();
  set_depth(*made, key);
  set_depth(*made, items);
  made->items = {std::move(key), std::move(items)};
  made->group = true;
  return object(Kind::tuple, std::move(made), sizeof(List) + 2 * sizeof(Value));
}

Value Interpreter::dict(std::vector<std::pair<Value, Value>> items) {
  constexpr int64_t kItemBytes = 2 * sizeof(Value) + 96;  // with its place in the index
  auto made = std::make_shared<Dict>();
  check_size(static_cast<int64_t>(items.size()) * kItemBytes);
  for (auto& [key, value] : items) {
    step();
    if (key.is_string()) step_bytes(key.text().size());
    if (!key_of(key)) error("unhashable type: '" + std::string(type_name(key)) + "'");
    set_depth(*made, key);
    set_depth(*made, value);
    made->set(key, std::move(value));
  }
  const auto bytes = static_cast<int64_t>(sizeof(Dict)) + static_cast<int64_t>(made->items.size()) * kItemBytes;
  return object(Kind::dict, std::move(made), bytes);
}

Value Interpreter::generator(std::string_view name, std::vector<Value> items) {
  auto made = std::make_shared<Generator>();
  for (const Value& item : items) set_depth(*made, item);
  const auto bytes = static_cast<int64_t>(items.capacity() * sizeof(Value) + sizeof(Generator));
  made->name = name;
  made->items = std::move(items);
  return object(Kind::generator, std::move(made), bytes);
}

Value Interpreter::undefined(const std::string& message) {
  auto str = std::make_shared<Str>();
  str->text = Text(message, true);
  return object(Kind::undefined, std::move(str), static_cast<int64_t>(sizeof(Str) + message.size()));
}

Value Interpreter::make_namespace() {
  check_size(sizeof(Namespace) + 64);
  budget_.live += sizeof(Namespace) + 64;
  namespaces_.push_back(std::make_unique<Namespace>());
  return Value::of(namespaces_.back().get());
}

}  // namespace autoglm::jinja
