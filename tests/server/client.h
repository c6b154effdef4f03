// A small HTTP client on raw sockets: it can do what a good client never does.
#pragma once

#include <openssl/ssl.h>

#include <functional>
#include <memory>
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
  Client(Client&& other) noexcept
      : descriptor_(std::exchange(other.descriptor_, -1)), tls_(std::move(other.tls_)), held_(std::move(other.held_)) {}
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// From here on everything goes through TLS. False: no handshake.
  bool start_tls(SSL_CTX* context);
  SSL* tls() { return tls_.get(); }
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
  struct Free {
    void operator()(SSL* tls) const { SSL_free(tls); }
  };
  int descriptor_ = -1;
  std::unique_ptr<SSL, Free> tls_;
  std::string held_;  // received, not yet used
};

/// A request with a JSON body, as bytes.
std::string post_text(const std::string& path, const nlohmann::json& body);

/// The sum of a metric's values, as /metrics tells it. `name` may end in labels: `a{b="c"`.
double metric(Client& client, const std::string& name);

/// False where it does not hold within half a minute.
bool eventually(const std::function<bool()>& holds);

}  // namespace autoglm::test
