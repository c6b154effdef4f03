// One HTTP/1.1 request from a thread that may wait: traces go out with it, and the doctor asks a server. Downloads are
// the user's curl's affair.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace autoglm {

struct HttpUrl {
  bool tls = false;
  std::string host;  // an IPv6 address without its brackets
  int port = 0;
  std::string target;  // "/path?query"

  /// "host:port" as a Host header has it.
  std::string authority() const;
};

/// Of http:// and https:// addresses; nothing for any other, and for one with a user or a password in it.
std::optional<HttpUrl> parse_http_url(std::string_view text);

struct HttpReply {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::string body;

  /// The first of that name (lower case), or empty.
  std::string_view header(std::string_view name) const;
};

/// A whole answer as it came over the connection, its body in chunks or plain. `at_end`: nothing follows. Nothing if it
/// is not complete; Error bad_file if it never can be.
std::optional<HttpReply> parse_http_reply(std::string_view bytes, bool at_end);

struct HttpCall {
  std::string method = "GET";
  std::string url{};
  std::vector<std::pair<std::string, std::string>> headers{};  // beside Host, Content-Length and Connection
  std::string body{};
  double seconds = 10;               // for all of it
  size_t most_bytes = 8 << 20;       // of the answer
  std::function<bool()> given_up{};  // asked about ten times a second; true ends it
};

/// Errors: bad_flag (the URL), work_failed (nobody there, no certificate that holds, no HTTP, too slow, too long). Any
/// status is an answer. Certificates are checked against the system's.
HttpReply http_call(const HttpCall& call);

}  // namespace autoglm
