// What the server understands: routes, and the functions that make work for the engine out of a body.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/chat.h"
#include "engine/embedding.h"
#include "server/exchange.h"

namespace autoglm {

class GrammarCompiler;
class Ledger;

/// The model that is served, as APIs see it. Read-only while the server runs.
struct Served {
  std::string name;
  std::vector<std::string> aliases;  // beside "default"
  std::string version;               // of this program
  const Tokenizer* tokenizer = nullptr;
  const ChatModel* chat = nullptr;
  GrammarCompiler* grammars = nullptr;  // null: answers are free
  EmbeddingSpec embedding{};            // Pooling::none: it makes none
  Request defaults;                     // sampling where a request says nothing
  int64_t context = 0;
  int64_t vocabulary = 0;
  int64_t most_choices = 1;        // answers that one request may ask for
  int64_t created = 0;             // Unix time
  int64_t kv_block_bytes = 0;      // of keys and values
  const Ledger* ledger = nullptr;  // what memory is used for, where that is known
};

/// What a request asks of the engine.
struct Asked {
  std::vector<Request> requests;  // one a choice
  std::unique_ptr<Writer> writer;
  int64_t places = 0;  // that they take among all requests; 0: one each
};

struct Route {
  std::string_view method;
  std::string_view path;
  // One of these.
  HttpResponse (*plain)(const Served& served) = nullptr;                                       // at once
  HttpResponse (*compute)(const Served& served, const Json& body) = nullptr;                   // on the helper
  Asked (*ask)(const Served& served, const HttpRequest& request, const Json& body) = nullptr;  // helper, then engine
};
std::span<const Route> routes();

HttpResponse version_info(const Served& served);
HttpResponse list_models(const Served& served);
HttpResponse tokenize(const Served& served, const Json& body);
HttpResponse detokenize(const Served& served, const Json& body);
Asked chat_completions(const Served& served, const HttpRequest& request, const Json& body);
Asked responses(const Served& served, const HttpRequest& request, const Json& body);
Asked anthropic_messages(const Served& served, const HttpRequest& request, const Json& body);
HttpResponse count_tokens(const Served& served, const Json& body);
Asked ollama_chat(const Served& served, const HttpRequest& request, const Json& body);
Asked ollama_generate(const Served& served, const HttpRequest& request, const Json& body);
HttpResponse ollama_tags(const Served& served);
HttpResponse ollama_show(const Served& served, const Json& body);
Asked embeddings(const Served& served, const HttpRequest& request, const Json& body);
Asked ollama_embed(const Served& served, const HttpRequest& request, const Json& body);
Asked ollama_embeddings(const Served& served, const HttpRequest& request, const Json& body);
Asked completions(const Served& served, const HttpRequest& request, const Json& body);

/// Error model_not_found that lists the known ones, unless `name` is one of them.
void check_model(const Served& served, std::string_view name);

}  // namespace autoglm
