#include "server/api/api.h"

namespace autoglm {

std::span<const Route> routes() {
  static constexpr Route kRoutes[] = {
      {.method = "GET", .path = "/version", .plain = version_info},
      {.method = "GET", .path = "/v1/models", .plain = list_models},
      {.method = "POST", .path = "/tokenize", .compute = tokenize},
      {.method = "POST", .path = "/detokenize", .compute = detokenize},
      {.method = "POST", .path = "/v1/chat/completions", .ask = chat_completions},
      {.method = "POST", .path = "/v1/completions", .ask = completions},
  };
  return kRoutes;
}

}  // namespace autoglm
