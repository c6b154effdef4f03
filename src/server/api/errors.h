// A failure, as an answer.
#pragma once

#include <string_view>

#include "base/error.h"
#include "server/http_message.h"
#include "text/chat_template.h"

namespace autoglm {

/// The body in OpenAI's form; for a FieldError with the field's name as `param`.
Json openai_error_body(const Error& error);

/// The body in the form of the API that `path` belongs to: OpenAI's, Anthropic's, Ollama's.
Json error_body(std::string_view path, int status, const Error& error);

/// With status and body as the API that `path` belongs to has them. `retry_after` > 0: seconds, for Retry-After.
HttpResponse error_response(std::string_view path, const Error& error, int retry_after = 0);
/// The same for what is no Error of the table.
HttpResponse error_response(std::string_view path, int status, const Error& error);

}  // namespace autoglm
