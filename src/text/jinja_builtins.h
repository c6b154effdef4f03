// The built-in filters, tests, methods and functions.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "text/jinja_interpreter.h"
#include "text/jinja_unicode.h"

namespace autoglm::jinja {

/// A string of the template itself, owned by no budget.
Value constant_string(std::string text);

bool is_filter(std::string_view name);
Value apply_filter(Interpreter& in, std::string_view name, const Value& subject, Args args);

bool is_test(std::string_view name);
bool apply_test(Interpreter& in, std::string_view name, const Value& subject, Args args);

/// Whether values of this type have a method of this name that the sandbox allows.
bool is_string_method(std::string_view name);
bool has_method(const Value& self, std::string_view name);
/// Methods that exist but would change their object.
bool is_forbidden_method(const Value& self, std::string_view name);
Value call_method(Interpreter& in, const Value& self, std::string_view name, Args args);
Value call_string_method(Interpreter& in, const Value& self, std::string_view name, Args args);

/// Global functions by name; -1 if there is none.
int64_t global_function(std::string_view name);
Value call_function(Interpreter& in, int64_t id, Args args);

// Shared pieces.

/// json.dumps as Hugging Face's tojson calls it. `indent` null: on one line.
Text to_json(Interpreter& in, const Value& value, bool ensure_ascii, const Value& indent, const Value& separators,
             bool sort_keys);
/// "%s" % values, Python's way.
Value format_percent(Interpreter& in, const Value& format, const Value& values);
/// str.format.
Value format_braces(Interpreter& in, const Value& format, const Args& args);
/// One value by a format specification (">10", "05.2f", ...).
Text format_spec(Interpreter& in, const Value& value, std::string_view spec);
/// repr() of a float.
std::string real_text(double value);
Text string_repr(const Text& text);
/// Escapes &, <, >, ' and ".
Text escape_html(const Text& text);
Text map_case(const Text& text, Case to);
Text capitalize(const Text& text);
/// Byte range that is left when characters of `chars` (white space if null) are stripped.
std::pair<size_t, size_t> strip_range(std::string_view text, const Text* chars, bool left, bool right);
Text replace_text(Interpreter& in, const Text& text, const Text& from, const Text& to, int64_t count);
std::vector<std::pair<size_t, size_t>> split_lines(std::string_view text, bool keep_ends);
/// int() and float() of a string; empty if Python would raise ValueError.
std::optional<int64_t> parse_int(Interpreter& in, std::string_view text, int base);
std::optional<double> parse_real(std::string_view text);
/// The stable order of `count` things. Safe with a comparison that throws or contradicts itself (NaN), which the
/// standard library's sorts are not.
std::vector<size_t> stable_order(size_t count, const std::function<bool(size_t, size_t)>& before);
/// An argument that must be an integer (or truth value).
int64_t int_argument(Interpreter& in, const Value& value, std::string_view what);

}  // namespace autoglm::jinja
