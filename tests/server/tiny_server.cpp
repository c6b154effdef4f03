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
  ChatModel& chat = running_.chat;
  chat.spec = &tiny_spec();
  chat.chat_template = ChatTemplate::parse(std::string(kTemplate));
  chat.ends = {2};
  running_.grammars = std::make_unique<GrammarCompiler>(*tokenizer_, chat, vocabulary);
  Served& served = running_.served;
  served.name = "tiny";
  served.version = "1";
  served.tokenizer = tokenizer_.get();
  served.chat = &chat;
  served.grammars = running_.grammars.get();
  served.defaults.sampling.temperature = 0;
  served.context = model_->context();
  served.vocabulary = vocabulary;
  served.most_choices = 4;
  EngineOptions options;
  options.max_sequences = setup.max_sequences;
  options.speculation = Speculation::automatic;
  if (prefixes_) {
    options.model_identity = "tiny";
    options.disk = prefixes_.get();
  }
  running_.engine = std::make_unique<Engine>(*model_, *tokenizer_, chat, options);
  setup.server.http.idle_seconds = 600;  // however slow the machine
  setup.server.service.most_inside = setup.max_sequences + setup.max_queue;
  running_.start(std::move(setup.server));
}

TinyServer::~TinyServer() {
  if (!running_.runs()) return;
  running_.stop();
  join();
}

int TinyServer::join() {
  const int signal = running_.wait();
  const EngineStatus status = running_.engine->status();
  EXPECT_EQ(status.free_blocks, status.blocks);
  EXPECT_EQ(status.running, 0);
  EXPECT_EQ(status.waiting, 0);
  running_.release();
  return signal;
}

}  // namespace autoglm::test
