#include "server/api/errors.h"

#include "server/api/fields.h"

namespace autoglm {
namespace {

std::string message_of(const Error& error) {
  return error.hint().empty() ? std::string(error.what()) : std::string(error.what()) + ": " + error.hint();
}

std::string_view anthropic_type(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 503:
      return "overloaded_error";
    case 504:
      return "timeout_error";
    default:
      return status < 500 ? "invalid_request_error" : "api_error";
  }
}

}  // namespace

Json openai_error_body(const Error& error) {
  const CodeInfo& row = info(error.code());
  const auto* field = dynamic_cast<const FieldError*>(&error);
  Json inner = Json::object();
  inner["message"] = message_of(error);
  inner["type"] = row.openai_type;
  inner["param"] = field != nullptr && !field->field().empty() ? Json(field->field()) : Json();
  inner["code"] = dynamic_cast<const KeyLimitError*>(&error) != nullptr ? KeyLimitError::kName : row.name;
  return Json{{"error", std::move(inner)}};
}

Json error_body(std::string_view path, int status, const Error& error) {
  if (path.starts_with("/api/")) return Json{{"error", message_of(error)}};
  if (!path.starts_with("/v1/messages")) return openai_error_body(error);
  Json inner = Json::object();
  inner["type"] = anthropic_type(status);
  inner["message"] = message_of(error);
  return Json{{"type", "error"}, {"error", std::move(inner)}};
}

HttpResponse error_response(std::string_view path, int status, const Error& error) {
  HttpResponse response;
  response.status = status;
  response.body = to_text(error_body(path, status, error));
  return response;
}

HttpResponse error_response(std::string_view path, const Error& error, int retry_after) {
  HttpResponse response = error_response(path, info(error.code()).http_status, error);
  if (retry_after > 0) response.headers.emplace_back("Retry-After", std::to_string(retry_after));
  if (error.code() == Code::unauthorized) response.headers.emplace_back("WWW-Authenticate", "Bearer");
  return response;
}

}  // namespace autoglm
