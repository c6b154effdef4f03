// Reading JSON whose shape is known, with errors that name the key. Only for .cpp files: simdjson is a large header.
#pragma once

#include <simdjson.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace autoglm::json_read {

using Element = simdjson::dom::element;

/// `text` parsed; `parser` keeps what the elements refer to. Error bad_model_file, naming `file`.
Element parse(simdjson::dom::parser& parser, std::string_view text, std::string_view file);

/// The value of `key`, or nothing if it is missing or null. Error bad_model_file if `object` is not an object.
std::optional<Element> find(Element object, std::string_view key);
Element need(Element object, std::string_view key);

// The value as a type; `what` names it in errors (bad_model_file).
std::string_view text(Element value, std::string_view what);
simdjson::dom::array array(Element value, std::string_view what);
simdjson::dom::object object(Element value, std::string_view what);
int64_t integer(Element value, std::string_view what);
double number(Element value, std::string_view what);

// The value of `key` of an object.
std::string_view text_of(Element object, std::string_view key);
bool flag(Element object, std::string_view key, bool fallback);

/// A token's id: 0 up to 16 million. Error bad_model_file otherwise.
int32_t token_id(Element value, std::string_view what);

}  // namespace autoglm::json_read
