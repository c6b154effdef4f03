// The real server on loopback, before a dummy model whose answers are known.
#pragma once

#include <memory>
#include <string>

#include "engine/dummy.h"
#include "server/running_server.h"

namespace autoglm::test {

/// Ids are the bytes of ASCII.
class AsciiTokenizer : public DummyTokenizer {
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
    ChatModel& chat = running_.chat;
    Served& served = running_.served;
    setup.server.service.most_inside = setup.engine.max_sequences + setup.max_queue;
    chat.chat_template = ChatTemplate::parse(setup.chat_template);
    served.name = "dummy";
    served.aliases = {"gpt-dummy"};
    served.version = "1.2.3";
    if (setup.spec != nullptr) {
      chat.spec = setup.spec;
      chat.ends = {AsciiTokenizer::kAsciiEnd};
      running_.grammars = std::make_unique<GrammarCompiler>(*tokenizer_, chat, stepper_->vocabulary_size);
    }
    served.embedding = setup.embedding;
    served.grammars = running_.grammars.get();
    served.tokenizer = tokenizer_.get();
    served.chat = &chat;
    served.defaults.sampling.temperature = 0;
    served.context = stepper_->context_size;
    served.vocabulary = stepper_->vocabulary_size;
    served.most_choices = 8;
    // The stream alone decides: no step of drafts whose number depends on measured times.
    running_.engine = std::make_unique<Engine>(std::move(setup.stepper), *tokenizer_, chat, setup.engine);
    running_.start(std::move(setup.server));
  }
  ~TestServer() { finish(); }

  /// Stops it, waits, and looks whether anything was left behind.
  void finish() {
    if (!running_.runs()) return;
    running_.stop();
    join();
    running_.release();
  }
  void join() {
    running_.wait();
    EXPECT_EQ(stepper_->live_sequences, 0);
    EXPECT_EQ(running_.engine->free_blocks(), stepper_->block_count);
  }

  Client client() const { return running_.client(); }
  int port() const { return running_.port(); }
  Server& server() { return running_.server(); }
  DummyStepper& stepper() { return *stepper_; }
  DummyTokenizer& tokenizer() { return *tokenizer_; }
  Served& served() { return running_.served; }  // before the first request

 private:
  DummyStepper* stepper_;
  std::unique_ptr<DummyTokenizer> tokenizer_;
  RunningServer running_;
};

}  // namespace autoglm::test
