#include "server/api/errors.h"

#include "server/api/fields.h"

namespace autoglm {
namespace {

std::string message_of(const Error& error) {
  return error.hint().empty() ? std::string(error.what()) : std::string(error.what()) + ": " + error.hint();
}

}  // namespace

Json openai_error_body(const Error& error) {
  const CodeInfo& row = info(error.code());
  const auto* field = dynamic_cast<const FieldError*>(&error);
  Json inner = Json::object();
  inner["message"] = message_of(error);
  inner["type"] = row.openai_type;
  inner["param"] = field != nullptr && !field->field().empty() ? Json(field->field()) : Json();
  inner["code"] = row.name;
  return Json{{"error", std::move(inner)}};
}

HttpResponse error_response(std::string_view path, int status, const Error& error) {
  (void)path;
  HttpResponse response;
  response.status = status;
  response.body = to_text(openai_error_body(error));
  return response;
}

HttpResponse error_response(std::string_view path, const Error& error, int retry_after) {
  HttpResponse response = error_response(path, info(error.code()).http_status, error);
  if (retry_after > 0) response.headers.emplace_back("Retry-After", std::to_string(retry_after));
  if (error.code() == Code::unauthorized) response.headers.emplace_back("WWW-Authenticate", "Bearer");
  return response;
}

}  // namespace autoglm
