// The fields of a JSON body: each is read with its range, and one that nobody has read is refused by name.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "text/chat_template.h"

namespace autoglm {

/// A request's field that cannot be honoured: Error bad_request that knows which.
class FieldError : public Error {
 public:
  FieldError(std::string field, const std::string& message, std::string hint = {})
      : Error(Code::bad_request, message, std::move(hint)), field_(std::move(field)) {}
  const std::string& field() const { return field_; }

 private:
  std::string field_;
};

/// null counts as absent. The body outlives it.
class Fields {
 public:
  /// `where`: what stands before a field's name in messages ("stream_options."). Error bad_request if it is no object.
  explicit Fields(const Json& object, std::string where = {});

  std::optional<double> number(std::string_view name, double low, double high);
  std::optional<int64_t> integer(std::string_view name, int64_t low, int64_t high);
  std::optional<bool> boolean(std::string_view name);
  std::optional<std::string> text(std::string_view name);
  /// A string or a list of strings.
  std::vector<std::string> texts(std::string_view name, size_t most);
  /// Whatever it is; null if it is absent.
  const Json* any(std::string_view name);
  const Json* object(std::string_view name);
  bool has(std::string_view name) const;

  /// Harmless: accepted whatever they say.
  void ignore(std::initializer_list<std::string_view> names);
  /// Allowed to say what holds anyway.
  void only(std::string_view name, const Json& value, std::string_view why);
  [[noreturn]] void refuse(std::string_view name, const std::string& why, std::string hint = {}) const;
  /// Refuses fields that nobody has read.
  void done() const;

 private:
  const Json* take(std::string_view name);
  const Json* object_;
  std::string where_;
  std::vector<std::string> known_;
};

/// The JSON text of a string or a value; invalid UTF-8 is replaced.
std::string to_text(const Json& value);

}  // namespace autoglm
