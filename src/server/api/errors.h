// A failure, as an answer.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "server/http_message.h"
#include "text/chat_template.h"

namespace autoglm {

/// A key's own limits are used up, which clients know by OpenAI's name for it; a full queue is plain `overloaded`.
class KeyLimitError : public Error {
 public:
  KeyLimitError(const std::string& message, std::string hint) : Error(Code::overloaded, message, std::move(hint)) {}
  static constexpr std::string_view kName = "rate_limit_exceeded";
};

/// The body in OpenAI's form; for a FieldError with the field's name as `param`.
Json openai_error_body(const Error& error);

/// The body in the form of the API that `path` belongs to: OpenAI's, Anthropic's, Ollama's.
Json error_body(std::string_view path, int status, const Error& error);

/// With status and body as the API that `path` belongs to has them. `retry_after` > 0: seconds, for Retry-After.
HttpResponse error_response(std::string_view path, const Error& error, int retry_after = 0);
/// The same for what is no Error of the table.
HttpResponse error_response(std::string_view path, int status, const Error& error);

}  // namespace autoglm
