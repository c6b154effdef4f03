// A mixed load: what good, bad and impatient clients ask of a server at the same time, seeded.
#pragma once

#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include "server/client.h"

namespace autoglm::test {

struct LoadCounts {
  int64_t asked = 0;
  int64_t answered = 0;  // 2xx, whole, and with the answer that it has alone
  int64_t refused = 0;   // 4xx, and 503 while the server stops
  std::vector<std::string> wrong;
};

class MixedLoad {
 public:
  explicit MixedLoad(int port) : port_(port) {}

  /// Asks everything once, alone: the answers that it must have under load too.
  void learn();
  /// One client, one request after the other, `count` of them. From any thread.
  void run(uint32_t seed, int64_t count);
  /// From now on requests may be refused with 503, and connections may be closed.
  void stopping();
  LoadCounts counts() const;

 private:
  struct Ask {
    std::string path;
    nlohmann::json body;
    bool streams = false;  // may be asked for as a stream of OpenAI's
    std::string answer{};
    std::string text{};  // of all choices
  };
  using Random = std::minstd_rand;
  using Connection = std::unique_ptr<Client>;

  /// Null `body`: GET.
  static Reply ask_with(Connection& client, const std::string& path, const nlohmann::json* body);
  void one(Connection& client, Random& random);
  void whole(Connection& client, const Ask& ask);
  void stream(Connection& client, const Ask& ask);
  void leave(const Ask& ask, Random& random) const;
  void refused(Connection& client, Random& random);
  void look(Connection& client, Random& random);
  void note(bool good, const std::string& what);
  bool expected_end(int status);
  bool stops() const;
  static std::vector<Ask> asks();

  const int port_;
  std::vector<Ask> asks_ = asks();
  mutable std::mutex mutex_;  // guards what follows
  LoadCounts counts_;
  bool stopping_ = false;
};

}  // namespace autoglm::test
