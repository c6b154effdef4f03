#include "text/json_read.h"

#include "base/error.h"

namespace autoglm::json_read {
namespace {

[[noreturn]] void wrong(std::string_view what, std::string_view wanted) {
  fail(Code::bad_model_file, "the tokenizer's '" + std::string(what) + "' is not " + std::string(wanted));
}

template <class T>
T as(Element value, std::string_view what, std::string_view wanted) {
  T out;
  if (value.get(out) != simdjson::SUCCESS) wrong(what, wanted);
  return out;
}

}  // namespace

Element parse(simdjson::dom::parser& parser, std::string_view text, std::string_view file) {
  if (text.empty()) fail(Code::bad_model_file, std::string(file) + " is empty");  // simdjson would copy from nowhere
  Element root;
  if (const auto error = parser.parse(text.data(), text.size()).get(root)) {
    fail(Code::bad_model_file, std::string(file) + " is not valid JSON: " + simdjson::error_message(error));
  }
  return root;
}

std::optional<Element> find(Element object, std::string_view key) {
  simdjson::dom::object map;
  if (object.get(map) != simdjson::SUCCESS) {
    fail(Code::bad_model_file,
         "the tokenizer has something else where an object with '" + std::string(key) + "' belongs");
  }
  Element value;
  if (map[key].get(value) != simdjson::SUCCESS || value.is_null()) return std::nullopt;
  return value;
}

Element need(Element object, std::string_view key) {
  const auto value = find(object, key);
  if (!value) fail(Code::bad_model_file, "the tokenizer lacks '" + std::string(key) + "'");
  return *value;
}

std::string_view text(Element value, std::string_view what) { return as<std::string_view>(value, what, "a string"); }
simdjson::dom::array array(Element value, std::string_view what) {
  return as<simdjson::dom::array>(value, what, "an array");
}
simdjson::dom::object object(Element value, std::string_view what) {
  return as<simdjson::dom::object>(value, what, "an object");
}
int64_t integer(Element value, std::string_view what) { return as<int64_t>(value, what, "an integer"); }
double number(Element value, std::string_view what) { return as<double>(value, what, "a number"); }

std::string_view text_of(Element object, std::string_view key) { return text(need(object, key), key); }

bool flag(Element object, std::string_view key, bool fallback) {
  const auto value = find(object, key);
  return value ? as<bool>(*value, key, "true or false") : fallback;
}

int32_t token_id(Element value, std::string_view what) {
  const int64_t id = integer(value, what);
  if (id < 0 || id >= 1 << 24) wrong(what, "a token's number");
  return static_cast<int32_t>(id);
}

}  // namespace autoglm::json_read
