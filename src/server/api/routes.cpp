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
      {.method = "POST", .path = "/v1/embeddings", .ask = embeddings},
      {.method = "POST", .path = "/v1/responses", .ask = responses},
      {.method = "POST", .path = "/v1/messages", .ask = anthropic_messages},
      {.method = "POST", .path = "/v1/messages/count_tokens", .compute = count_tokens},
      {.method = "POST", .path = "/api/chat", .ask = ollama_chat},
      {.method = "POST", .path = "/api/generate", .ask = ollama_generate},
      {.method = "POST", .path = "/api/embed", .ask = ollama_embed},
      {.method = "POST", .path = "/api/embeddings", .ask = ollama_embeddings},
      {.method = "GET", .path = "/api/tags", .plain = ollama_tags},
      {.method = "POST", .path = "/api/show", .compute = ollama_show},
      {.method = "GET", .path = "/api/version", .plain = version_info},
  };
  return kRoutes;
}

}  // namespace autoglm
