#include "server/api/fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace autoglm {
namespace {

std::string shown(const Json& value) {
  std::string text = to_text(value);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

}  // namespace

std::string to_text(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

Fields::Fields(const Json& object, std::string where) : object_(&object), where_(std::move(where)) {
  if (object.is_object()) return;
  const std::string what = where_.empty() ? "the body" : where_.substr(0, where_.size() - 1);
  throw FieldError(where_.empty() ? "" : what,
                   fmt::format("{} must be a JSON object, not {}", what, object.type_name()));
}

void Fields::refuse(std::string_view name, const std::string& why, std::string hint) const {
  throw FieldError(where_ + std::string(name), fmt::format("{}{} {}", where_, name, why), std::move(hint));
}

const Json* Fields::take(std::string_view name) {
  known_.emplace_back(name);
  const auto found = object_->find(name);
  return found == object_->end() || found->is_null() ? nullptr : &*found;
}

bool Fields::has(std::string_view name) const {
  const auto found = object_->find(name);
  return found != object_->end() && !found->is_null();
}

std::optional<double> Fields::number(std::string_view name, double low, double high) {
  const Json* value = take(name);
  if (value == nullptr) return {};
  if (!value->is_number() || !(value->get<double>() >= low && value->get<double>() <= high)) {
    refuse(name, fmt::format("must be a number from {} to {}, not {}", low, high, shown(*value)));
  }
  return value->get<double>();
}

std::optional<int64_t> Fields::integer(std::string_view name, int64_t low, int64_t high) {
  const Json* value = take(name);
  if (value == nullptr) return {};
  const auto wrong = [&] {
    refuse(name, fmt::format("must be a whole number from {} to {}, not {}", low, high, shown(*value)));
  };
  if (value->is_number_float()) {  // 5.0 is what some clients make of 5
    const double real = value->get<double>();
    if (real != std::floor(real) || std::abs(real) > 9007199254740992.0) wrong();
  } else if (!value->is_number_integer()) {
    wrong();
  }
  if (value->is_number_unsigned() && value->get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) wrong();
  const int64_t whole = value->is_number_float() ? static_cast<int64_t>(value->get<double>()) : value->get<int64_t>();
  if (whole < low || whole > high) wrong();
  return whole;
}

std::optional<bool> Fields::boolean(std::string_view name) {
  const Json* value = take(name);
  if (value == nullptr) return {};
  if (!value->is_boolean()) refuse(name, fmt::format("must be true or false, not {}", shown(*value)));
  return value->get<bool>();
}

std::optional<std::string> Fields::text(std::string_view name) {
  const Json* value = take(name);
  if (value == nullptr) return {};
  if (!value->is_string()) refuse(name, fmt::format("must be a string, not {}", shown(*value)));
  return value->get<std::string>();
}

std::vector<std::string> Fields::texts(std::string_view name, size_t most) {
  const Json* value = take(name);
  if (value == nullptr) return {};
  if (value->is_string()) return {value->get<std::string>()};
  const bool list = value->is_array() && std::ranges::all_of(*value, [](const Json& one) { return one.is_string(); });
  if (!list) refuse(name, fmt::format("must be a string or a list of strings, not {}", shown(*value)));
  if (value->size() > most) refuse(name, fmt::format("has {} entries; {} are allowed", value->size(), most));
  return value->get<std::vector<std::string>>();
}

const Json* Fields::any(std::string_view name) { return take(name); }

const Json* Fields::object(std::string_view name) {
  const Json* value = take(name);
  if (value != nullptr && !value->is_object()) refuse(name, fmt::format("must be an object, not {}", shown(*value)));
  return value;
}

void Fields::ignore(std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) known_.emplace_back(name);
}

void Fields::only(std::string_view name, const Json& value, std::string_view why) {
  const Json* given = take(name);
  if (given == nullptr || *given == value) return;
  refuse(name, fmt::format("can only be {}, not {}", to_text(value), shown(*given)), std::string(why));
}

void Fields::done() const {
  for (const auto& [name, value] : object_->items()) {
    if (value.is_null() || std::ranges::find(known_, name) != known_.end()) continue;
    std::vector<std::string_view> names(known_.begin(), known_.end());
    const std::string near = nearest(name, names.data(), names.size());
    std::string shown_name = name.substr(0, 80);
    throw FieldError(where_ + shown_name, fmt::format("{}{} is not a field that this server knows", where_, shown_name),
                     near.empty() ? "leave it out" : fmt::format("did you mean {}?", near));
  }
}

}  // namespace autoglm
