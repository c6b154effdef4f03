#include "server/tiny_server.h"

#include "text/chat_template.h"

namespace autoglm::test {
namespace {

const ChatSpec& tiny_spec() {
  static const ChatSpec spec{.family = "tiny",
                             .architectures = {},
                             .default_template = "",
                             .ends = {},
                             .reasoning_open = "",
                             .reasoning_close = "",
                             .thinking_variable = "",
                             .tool_calls = ToolCallForm::hermes_json};
  return spec;
}

constexpr std::string_view kTemplate =
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if tools %}{{ tools|length }} tools\n"
    "{% endif %}assistant: ";

}  // namespace

ByteTokenizer::ByteTokenizer(int64_t vocabulary) {
  pieces.assign(static_cast<size_t>(vocabulary), "");
  controls = {0, 1, 2};
  for (int32_t i = 0; i < 128; ++i) pieces[static_cast<size_t>(kFirst + i)] = std::string(1, static_cast<char>(i));
  const std::vector<std::string> longer = {"the ", "{\"",   "\": ", "\", \"", "\"}",
                                           "true", "false", "null", "12",     "ing"};
  for (size_t i = 0; i < pieces.size() - kFirst - 128; ++i) pieces[kFirst + 128 + i] = longer[i % longer.size()];
}

std::vector<int32_t> ByteTokenizer::encode(std::string_view text, const EncodeOptions&) const {
  std::vector<int32_t> ids;
  for (const char c : text) ids.push_back(kFirst + (c & 0x7f));
  return ids;
}

TinyServer::TinyServer(TinySetup setup)
    : runtime_(make_runtime({.threads = setup.threads, .memory_limit = 0, .isa = "auto", .pin = false, .cpus = {}})) {
  if (!setup.prefixes.empty()) {
    PrefixStoreOptions disk;
    disk.folder = setup.prefixes;
    disk.max_bytes = int64_t{16} << 20;
    disk.say = setup.disk_says;
    prefixes_ = std::make_unique<PrefixStore>(std::move(disk));
    prefixes_->book_in(*runtime_.ledger);
  }
  LoadOptions load;
  load.context = 448;
  load.batch_sequences = setup.max_sequences;
  load.batch_rows = 64;
  load.logit_rows = setup.max_sequences + kMostDraft;
  model_ = Model::load(open_model(std::filesystem::path(AUTOGLM_TEST_DATA) / "models" / "glm4-a"), runtime_, load);
  const int64_t vocabulary = model_->spec().vocabulary;
  tokenizer_ = std::make_unique<ByteTokenizer>(vocabulary);
  chat_.spec = &tiny_spec();
  chat_.chat_template = ChatTemplate::parse(std::string(kTemplate));
  chat_.ends = {2};
  grammars_ = std::make_unique<GrammarCompiler>(*tokenizer_, chat_, vocabulary);
  served_.name = "tiny";
  served_.version = "1";
  served_.tokenizer = tokenizer_.get();
  served_.chat = &chat_;
  served_.grammars = grammars_.get();
  served_.defaults.sampling.temperature = 0;
  served_.context = model_->context();
  served_.vocabulary = vocabulary;
  served_.most_choices = 4;
  EngineOptions options;
  options.max_sequences = setup.max_sequences;
  options.speculation = Speculation::automatic;
  if (prefixes_) {
    options.model_identity = "tiny";
    options.disk = prefixes_.get();
  }
  engine_ = std::make_unique<Engine>(*model_, *tokenizer_, chat_, options);
  setup.server.port = 0;
  setup.server.http.idle_seconds = 600;  // however slow the machine
  setup.server.service.most_inside = setup.max_sequences + setup.max_queue;
  server_ = std::make_unique<Server>(setup.server);
  const std::string& address = server_->address();
  port_ = std::atoi(address.c_str() + address.rfind(':') + 1);
  thread_ = std::thread([this] { signal_ = server_->run(*engine_, served_, [] {}); });
}

TinyServer::~TinyServer() {
  if (!thread_.joinable()) return;
  server_->stop();
  server_->stop();
  join();
}

int TinyServer::join() {
  thread_.join();
  engine_->check_integrity();
  const EngineStatus status = engine_->status();
  EXPECT_EQ(status.free_blocks, status.blocks);
  EXPECT_EQ(status.running, 0);
  EXPECT_EQ(status.waiting, 0);
  server_.reset();
  return signal_;
}

}  // namespace autoglm::test
