// A request and its answer, as far as the rest of the server cares about HTTP.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/request_times.h"

namespace autoglm {

class ClientLease;

using ServerClock = std::chrono::steady_clock;

/// Now, in seconds that never go back.
inline double server_seconds() { return std::chrono::duration<double>(ServerClock::now().time_since_epoch()).count(); }

struct HttpRequest {
  std::string method;
  std::string path;  // percent-decoded, without the query
  std::string query;
  std::string id;      // the client's x-request-id if it is printable and short, else our own
  std::string remote;  // address of the client
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;           // names in lower case
  std::string client{};                                               // who the key belongs to; empty without keys
  std::vector<std::pair<std::string, std::string>> answer_headers{};  // of whatever is answered
  std::shared_ptr<ClientLease> lease{};                               // of that client's limits; null without keys
  ServerClock::time_point received = ServerClock::now();              // its first line

  /// The first header of that name (lower case), or empty.
  std::string_view header(std::string_view name) const {
    for (const auto& [key, value] : headers) {
      if (key == name) return value;
    }
    return {};
  }
};

struct HttpResponse {
  int status = 200;
  std::string body{};
  std::string content_type = "application/json";  // empty: there is no body
  std::vector<std::pair<std::string, std::string>> headers{};
};

/// What the access log and the metrics hear of an answer.
struct HttpOutcome {
  int status = 0;         // 499: the client went away first
  uint64_t bytes = 0;     // of the body that were sent
  double seconds = 0;     // from the first line of the request to the last byte of the answer
  bool streamed = false;  // in pieces
  RequestRecord record{};
};

/// "OK", "Not Found", ...
std::string_view reason_phrase(int status);

/// Status line and headers. Without a length the body follows in chunks, or until the connection closes (HTTP/1.0).
struct HttpHead {
  int status = 200;
  std::string_view content_type;
  std::string_view request_id;
  bool keep_alive = true;
  bool chunked = false;
  int64_t length = -1;
  const std::vector<std::pair<std::string, std::string>>* headers = nullptr;
};
std::string head_text(const HttpHead& head);

/// A piece of a chunked body; an empty one is its end.
std::string chunk_text(std::string_view bytes);

/// "%2F" -> "/"; what is no escape stays.
std::string percent_decoded(std::string_view text);

}  // namespace autoglm
