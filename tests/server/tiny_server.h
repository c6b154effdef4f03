// The whole server on loopback, with nothing made up but the weights: layers, worker pool, grammars, the prefix cache
// on disk. For tests of how the parts get on with each other.
#pragma once

#include <filesystem>
#include <memory>
#include <thread>

#include "engine/answer_grammar.h"
#include "engine/dummy.h"
#include "model/runtime.h"
#include "server/client.h"
#include "server/server.h"
#include "store/prefix_store.h"

namespace autoglm::test {

/// A token a character, and a few for several; enough for JSON.
class ByteTokenizer final : public DummyTokenizer {
 public:
  static constexpr int32_t kFirst = 3;  // of the 128 characters; 2 ends an answer
  explicit ByteTokenizer(int64_t vocabulary);
  std::vector<int32_t> encode(std::string_view text, const EncodeOptions& options) const override;
  std::optional<int32_t> eos() const override { return 2; }
  std::vector<int32_t> ends() const override { return {2}; }
};

struct TinySetup {
  std::filesystem::path prefixes{};  // where blocks are kept on disk; empty: nowhere
  std::function<void(const std::string&)> disk_says{};
  int64_t max_sequences = 4;
  int64_t max_queue = 64;
  int threads = 2;
  ServerOptions server{};
};

class TinyServer {
 public:
  explicit TinyServer(TinySetup setup);
  ~TinyServer();
  TinyServer(const TinyServer&) = delete;
  TinyServer& operator=(const TinyServer&) = delete;

  Client client() const { return Client(port_); }
  int port() const { return port_; }
  Server& server() { return *server_; }
  /// Waits for its end and looks whether anything was left behind. Returns the signal that ended it.
  int join();

 private:
  Runtime runtime_;
  std::unique_ptr<PrefixStore> prefixes_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<ByteTokenizer> tokenizer_;
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
