// serve: the model for many, over HTTP.
#include <fmt/format.h>

#include <chrono>
#include <csignal>

#include "cli/commands.h"
#include "cli/generate.h"
#include "cli/profile.h"
#include "cli/tuned_settings.h"
#include "cli/version.h"
#include "engine/answer_grammar.h"
#include "server/options.h"

namespace autoglm {
namespace {

Served served_model(const Context& context, const OpenedModel& opened, const EngineOptions& engine) {
  const Settings& settings = context.settings();
  Served served;
  served.name = served_name(context.argument("MODEL"));
  served.aliases = settings.list("server.alias");
  served.version = std::string(program_version());
  served.tokenizer = opened.tokenizer.get();
  served.chat = &opened.chat;
  served.defaults = request_from_settings(settings, *opened.source, opened.model->spec().vocabulary);
  served.embedding = embedding_spec(*opened.source, opened.model->spec().hidden);
  served.context = opened.model->context();
  served.vocabulary = opened.model->spec().vocabulary;
  served.most_choices = std::max<int64_t>(1, std::min<int64_t>(128, engine.max_sequences + engine.max_queue));
  served.kv_block_bytes = opened.model->memory().kv_per_token_bytes * kKvBlock;
  served.ledger = opened.runtime.ledger.get();
  served.created =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  return served;
}

void warn_of_strangers(const Context& context, const Server& server) {
  if (server.loopback() || server.has_keys()) return;
  context.note(context.language() == Language::zh
                   ? "警告：任何能访问此地址的人都可以使用该服务；请用 --api-key-file 设置密钥"
                   : "warning: whoever reaches this address may use the server; --api-key-file asks for a key");
}

int run(Context& context) {
  const Settings& settings = context.settings();
  apply_tuned(context);
  const std::unique_ptr<OpenedModel> opened = open_unloaded(context);
  apply_profile_to_model(context, *opened->source, opened->runtime, {"batching.max_batch_size"});
  std::vector<std::string> notes;
  EngineOptions options = serving_options(settings, notes);
  for (const std::string& note : notes) context.note(note);
  ServerOptions server_settings = server_options(settings, options);
  server_settings.model_name = served_name(context.argument("MODEL"));
  server_settings.traces.service_version = std::string(program_version());
  Server server(server_settings);  // before the pool runs: its port may be taken, and its threads must not be pinned
  warn_of_strangers(context, server);

  load_opened(context, *opened, load_options(context, options.max_sequences), true);
  Served served = served_model(context, *opened, options);
  const auto grammar_memory =
      std::make_shared<GrammarMemory>(settings.bytes("server.grammar_max_bytes"), opened->runtime.ledger.get());
  GrammarCompiler grammars(*opened->tokenizer, opened->chat, opened->model->spec().vocabulary, grammar_memory);
  served.grammars = &grammars;
  options.max_queue = -1;  // the server has counted who may come in
  keep_prefixes(*opened, options);
  Engine engine(*opened->model, *opened->tokenizer, opened->chat, options);
  const int signal =
      server.run(engine, served, [&] { context.print(fmt::format("listening on {}\n", server.address())); });
  return signal == SIGINT ? info(Code::interrupted).exit_code : 0;
}

}  // namespace

const Command kServe = {
    .name = "serve",
    .summary = {"serve a model over HTTP, as OpenAI's API does", "通过 HTTP 提供与 OpenAI 兼容的模型服务"},
    .positionals = {{.name = "MODEL", .required = true, .help = {"the model", "模型"}}},
    .details =
        {"Prints one line, `listening on http://...`, when it is ready. SIGTERM and Ctrl-C let running requests "
         "finish; a second one ends at once. SIGHUP reads the API keys and the certificate again.",
         "准备好后打印一行 `listening on http://...`。SIGTERM 和 Ctrl-C 会等待正在处理的请求完成，再次发送则立即退出。"
         "SIGHUP 重新读取 API 密钥和证书。"},
    .examples = {{"autoglm serve smollm2:135m --port 8080", {"on this machine only", "仅限本机访问"}},
                 {"autoglm serve model.gguf --host 0.0.0.0 --api-key-file keys.txt",
                  {"for the network, with keys", "对网络开放，需要密钥"}}},
    .run = run,
};

}  // namespace autoglm
