// The real server on loopback, before a dummy model whose answers are known.
#pragma once

#include <memory>
#include <string>
#include <thread>

#include "engine/answer_grammar.h"
#include "engine/dummy.h"
#include "server/client.h"
#include "server/server.h"

namespace autoglm::test {

/// Ids are the bytes of ASCII.
class AsciiTokenizer final : public DummyTokenizer {
 public:
  AsciiTokenizer() {
    pieces.clear();
    for (int i = 0; i < 128; ++i) pieces.push_back(std::string(1, static_cast<char>(i)));
    controls = {kAsciiStart, kAsciiEnd};
  }
  std::vector<int32_t> encode(std::string_view text, const EncodeOptions&) const override {
    std::vector<int32_t> ids;
    for (const char c : text) ids.push_back(c & 127);
    return ids;
  }
  static constexpr int32_t kAsciiStart = 2;  // of an answer
  static constexpr int32_t kAsciiEnd = 3;
};

struct ServerSetup {
  EngineOptions engine{.max_sequences = 4};
  int64_t max_queue = 8;
  ServerOptions server{};
  std::unique_ptr<DummyStepper> stepper = std::make_unique<DummyStepper>();
  std::unique_ptr<DummyTokenizer> tokenizer = std::make_unique<DummyTokenizer>();
  const ChatSpec* spec = nullptr;
  EmbeddingSpec embedding{};
  std::string chat_template = "{% for m in messages %}{{ m.role[0] }}{{ m.content }}{% endfor %}";

  /// Of a family, saying `script` after every prompt (where a grammar allows it), and telling every prompt to `heard`.
  static ServerSetup scripted(std::string_view architecture, std::string script, std::string* heard = nullptr) {
    ServerSetup setup;
    setup.spec = &autoglm::chat_spec(architecture);
    setup.tokenizer = std::make_unique<AsciiTokenizer>();
    setup.chat_template =
        "{% if tools %}T{{ tools | length }}{% endif %}{% for m in messages %}{{ '|' + m.role + ':' }}{{ m.content }}"
        "{% if m.name %}({{ m.name }}){% endif %}{% if m.reasoning_content %}~{{ m.reasoning_content }}{% endif %}"
        "{% for c in m.tool_calls or [] %}[{{ c.function.name }} {{ c.function.arguments | tojson }}]{% endfor %}"
        "{% endfor %}{{ enable_thinking }}\x02";
    DummyStepper& stepper = *setup.stepper;
    stepper.vocabulary_size = 128;
    stepper.context_size = 2048;
    stepper.block_count = 512;
    stepper.rows = 2048;
    stepper.hook = [script = std::move(script)](const std::vector<int32_t>& history, std::span<float> logits) {
      const auto start = std::find(history.rbegin(), history.rend(), AsciiTokenizer::kAsciiStart);
      const auto said = static_cast<size_t>(start - history.rbegin());
      const int32_t next = said < script.size() ? script[said] : AsciiTokenizer::kAsciiEnd;
      logits[static_cast<size_t>(next)] = 1e4f;
    };
    if (heard == nullptr) return setup;
    stepper.before_step = [heard](const Batch& batch) {
      if (batch.tokens.size() > 1) heard->assign(batch.tokens.begin(), batch.tokens.end());
    };
    return setup;
  }
};

class TestServer {
 public:
  explicit TestServer(ServerSetup setup = {}) : stepper_(setup.stepper.get()), tokenizer_(std::move(setup.tokenizer)) {
    setup.server.port = 0;
    setup.server.service.most_inside = setup.engine.max_sequences + setup.max_queue;
    chat_.chat_template = ChatTemplate::parse(setup.chat_template);
    served_.name = "dummy";
    served_.aliases = {"gpt-dummy"};
    served_.version = "1.2.3";
    if (setup.spec != nullptr) {
      chat_.spec = setup.spec;
      chat_.ends = {AsciiTokenizer::kAsciiEnd};
      grammars_ = std::make_unique<GrammarCompiler>(*tokenizer_, chat_, stepper_->vocabulary_size);
    }
    served_.embedding = setup.embedding;
    served_.grammars = grammars_.get();
    served_.tokenizer = tokenizer_.get();
    served_.chat = &chat_;
    served_.defaults.sampling.temperature = 0;
    served_.context = stepper_->context_size;
    served_.vocabulary = stepper_->vocabulary_size;
    served_.most_choices = 8;
    // The stream alone decides: no step of drafts whose number depends on measured times.
    engine_ = std::make_unique<Engine>(std::move(setup.stepper), *tokenizer_, chat_, setup.engine);
    server_ = std::make_unique<Server>(setup.server);
    const std::string& address = server_->address();
    port_ = std::atoi(address.c_str() + address.rfind(':') + 1);
    thread_ = std::thread([this] { signal_ = server_->run(*engine_, served_, [] {}); });
  }
  ~TestServer() { finish(); }

  /// Stops it, waits, and looks whether anything was left behind.
  void finish() {
    if (!thread_.joinable()) return;
    server_->stop();
    server_->stop();
    join();
    server_.reset();
  }
  void join() {
    thread_.join();
    engine_->check_integrity();
    EXPECT_EQ(stepper_->live_sequences, 0);
    EXPECT_EQ(engine_->free_blocks(), stepper_->block_count);
  }

  Client client() const { return Client(port_); }
  int port() const { return port_; }
  Server& server() { return *server_; }
  DummyStepper& stepper() { return *stepper_; }
  DummyTokenizer& tokenizer() { return *tokenizer_; }
  Served& served() { return served_; }  // before the first request

 private:
  DummyStepper* stepper_;
  std::unique_ptr<DummyTokenizer> tokenizer_;
  ChatModel chat_;
  std::unique_ptr<GrammarCompiler> grammars_;
  Served served_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Server> server_;
  std::thread thread_;
  int port_ = 0;
  int signal_ = 0;
};

}  // namespace autoglm::test
