// Typed look-up in GGUF metadata.
#include <string>
#include <utility>

#include "base/error.h"
#include "format/model_source.h"
#include "format/printable.h"

namespace autoglm {
namespace {

[[noreturn]] void missing(std::string_view key) {
  fail(Code::bad_model_file, "the metadata key " + printable(key) + " is missing");
}

[[noreturn]] void wrong_type(std::string_view key, std::string_view wanted) {
  fail(Code::bad_model_file, "the metadata key " + printable(key) + " is not " + std::string(wanted));
}

template <typename Element>
const std::vector<Element>* array(const MetaValue* value, std::string_view key, std::string_view wanted) {
  if (value == nullptr) return nullptr;
  const auto* any = std::get_if<MetaArray>(value);
  const auto* elements = any == nullptr ? nullptr : std::get_if<std::vector<Element>>(any);
  if (elements == nullptr) wrong_type(key, wanted);
  return elements;
}

}  // namespace

void Metadata::set(std::string key, MetaValue value) {
  const auto [place, is_new] = index_.try_emplace(key, items_.size());
  if (is_new) {
    items_.emplace_back(std::move(key), std::move(value));
  } else {
    items_[place->second].second = std::move(value);
  }
}

const MetaValue* Metadata::find(std::string_view key) const {
  const auto place = index_.find(std::string(key));
  return place == index_.end() ? nullptr : &items_[place->second].second;
}

int64_t Metadata::integer(std::string_view key) const {
  const MetaValue* value = find(key);
  if (value == nullptr) missing(key);
  const auto* integer = std::get_if<int64_t>(value);
  if (integer == nullptr) wrong_type(key, "an integer");
  return *integer;
}

int64_t Metadata::integer(std::string_view key, int64_t fallback) const { return has(key) ? integer(key) : fallback; }

double Metadata::number(std::string_view key) const {
  const MetaValue* value = find(key);
  if (value == nullptr) missing(key);
  if (const auto* integer = std::get_if<int64_t>(value)) return static_cast<double>(*integer);
  const auto* number = std::get_if<double>(value);
  if (number == nullptr) wrong_type(key, "a number");
  return *number;
}

double Metadata::number(std::string_view key, double fallback) const { return has(key) ? number(key) : fallback; }

bool Metadata::boolean(std::string_view key, bool fallback) const {
  const MetaValue* value = find(key);
  if (value == nullptr) return fallback;
  const auto* boolean = std::get_if<bool>(value);
  if (boolean == nullptr) wrong_type(key, "a boolean");
  return *boolean;
}

std::string Metadata::text(std::string_view key) const {
  const MetaValue* value = find(key);
  if (value == nullptr) missing(key);
  const auto* text = std::get_if<std::string>(value);
  if (text == nullptr) wrong_type(key, "a text");
  return *text;
}

std::string Metadata::text(std::string_view key, std::string_view fallback) const {
  return has(key) ? text(key) : std::string(fallback);
}

const std::vector<std::string>* Metadata::strings(std::string_view key) const {
  return array<std::string>(find(key), key, "a list of texts");
}

const std::vector<int64_t>* Metadata::integers(std::string_view key) const {
  return array<int64_t>(find(key), key, "a list of integers");
}

const std::vector<double>* Metadata::numbers(std::string_view key) const {
  return array<double>(find(key), key, "a list of numbers");
}

}  // namespace autoglm
