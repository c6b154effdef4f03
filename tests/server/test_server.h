// The real server on loopback, before a dummy model whose answers are known.
#pragma once

#include <memory>
#include <string>
#include <thread>

#include "engine/dummy.h"
#include "server/client.h"
#include "server/server.h"

namespace autoglm::test {

struct ServerSetup {
  EngineOptions engine{.max_sequences = 4};
  int64_t max_queue = 8;
  ServerOptions server{};
  std::unique_ptr<DummyStepper> stepper = std::make_unique<DummyStepper>();
  std::string chat_template = "{% for m in messages %}{{ m.role[0] }}{{ m.content }}{% endfor %}";
};

class TestServer {
 public:
  explicit TestServer(ServerSetup setup = {}) : stepper_(setup.stepper.get()) {
    setup.server.port = 0;
    setup.server.service.most_inside = setup.engine.max_sequences + setup.max_queue;
    chat_.chat_template = ChatTemplate::parse(setup.chat_template);
    served_.name = "dummy";
    served_.aliases = {"gpt-dummy"};
    served_.version = "1.2.3";
    served_.tokenizer = &tokenizer_;
    served_.chat = &chat_;
    served_.defaults.sampling.temperature = 0;
    served_.context = stepper_->context_size;
    served_.vocabulary = stepper_->vocabulary_size;
    served_.most_choices = 8;
    // The stream alone decides: no step of drafts whose number depends on measured times.
    engine_ = std::make_unique<Engine>(std::move(setup.stepper), tokenizer_, chat_, setup.engine);
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
  DummyTokenizer& tokenizer() { return tokenizer_; }
  Served& served() { return served_; }  // before the first request

 private:
  DummyStepper* stepper_;
  DummyTokenizer tokenizer_;
  ChatModel chat_;
  Served served_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Server> server_;
  std::thread thread_;
  int port_ = 0;
  int signal_ = 0;
};

}  // namespace autoglm::test
