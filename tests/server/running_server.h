// A server on loopback with its engine, and the thread that runs it: what every server under test has.
#pragma once

#include <cstdlib>
#include <memory>
#include <string>
#include <thread>

#include "engine/answer_grammar.h"
#include "engine/engine.h"
#include "server/client.h"
#include "server/server.h"

namespace autoglm::test {

/// Its owner fills in what is served, and keeps what that refers to for longer.
class RunningServer {
 public:
  ChatModel chat;
  std::unique_ptr<GrammarCompiler> grammars;
  Served served;
  std::unique_ptr<Engine> engine;

  /// On any free port.
  void start(ServerOptions options) {
    options.port = 0;
    server_ = std::make_unique<Server>(options);
    const std::string& address = server_->address();
    port_ = std::atoi(address.c_str() + address.rfind(':') + 1);
    thread_ = std::thread([this] { signal_ = server_->run(*engine, served, [] {}); });
  }
  bool runs() const { return thread_.joinable(); }
  /// At once: what is computed is given up.
  void stop() {
    server_->stop();
    server_->stop();
  }
  /// Until it has ended. Returns the signal that ended it.
  int wait() {
    thread_.join();
    engine->check_integrity();
    return signal_;
  }
  void release() { server_.reset(); }

  Client client() const { return Client(port_); }
  int port() const { return port_; }
  Server& server() { return *server_; }

 private:
  std::unique_ptr<Server> server_;
  std::thread thread_;
  int port_ = 0;
  int signal_ = 0;
};

}  // namespace autoglm::test
