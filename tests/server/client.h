// A small HTTP client on raw sockets: it can do what a good client never does.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace autoglm::test {

struct Reply {
  int status = 0;                                            // 0: the connection ended without an answer
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::string body;                                          // chunks put together
  bool whole = false;                                        // it came to its end
  std::string header(std::string_view name) const;
  nlohmann::json json() const { return nlohmann::json::parse(body, nullptr, false); }
  /// The data of each event of a stream.
  std::vector<std::string> events() const;
};

class Client {
 public:
  explicit Client(int port);
  ~Client();
  Client(Client&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)), held_(std::move(other.held_)) {}
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bool send(std::string_view bytes);
  /// Bytes that have come so far, waiting for at least one. Empty: the end.
  std::string receive_some();
  Reply receive(bool head_only = false);
  /// True once the other side has closed the connection, with nothing sent before.
  bool closed();
  void close();
  void reset();  // so that the other side gets RST

  Reply get(const std::string& path, const std::string& headers = "");
  Reply post(const std::string& path, const nlohmann::json& body, const std::string& headers = "");
  void start_post(const std::string& path, const nlohmann::json& body, const std::string& headers = "");

 private:
  int descriptor_ = -1;
  std::string held_;  // received, not yet used
};

}  // namespace autoglm::test
