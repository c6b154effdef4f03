// What a server answered, told apart without believing any of it.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>

#include "base/error.h"
#include "base/http_client.h"

namespace autoglm {
namespace {

constexpr size_t kMostHead = 64 << 10;

[[noreturn]] void no_http(std::string_view why) {
  fail(Code::bad_file, fmt::format("the answer is not HTTP: {}", why));
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

size_t number(std::string_view digits, int base) {
  size_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (error != std::errc() || end != digits.data() + digits.size()) no_http("a length is no number");
  return value;
}

// The line up to "\r\n", which is taken off `text` too; nothing if it has not ended.
std::optional<std::string_view> take_line(std::string_view& text) {
  const size_t end = text.find("\r\n");
  if (end == std::string_view::npos) return {};
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end + 2);
  return line;
}

// Chunks put together; nothing while some are missing.
std::optional<std::string> unchunked(std::string_view text) {
  std::string body;
  while (const auto line = take_line(text)) {
    const size_t size = number(trimmed(line->substr(0, line->find(';'))), 16);
    if (size == 0) return body;  // trailers are nobody's business
    if (text.size() < 2 || size > text.size() - 2) return {};
    body += text.substr(0, size);
    if (text.substr(size, 2) != "\r\n") no_http("a chunk is longer than it says");
    text.remove_prefix(size + 2);
  }
  return {};
}

HttpReply head_of(std::string_view text) {
  HttpReply reply;
  const std::string_view status = *take_line(text);
  if (!status.starts_with("HTTP/1.") || status.size() < 12) no_http("its first line is no status");
  reply.status = static_cast<int>(number(status.substr(9, 3), 10));
  while (const auto line = take_line(text)) {
    const size_t colon = line->find(':');
    if (line->empty()) break;
    if (colon == std::string_view::npos) no_http("a header has no colon");
    reply.headers.emplace_back(lower(line->substr(0, colon)), std::string(trimmed(line->substr(colon + 1))));
  }
  return reply;
}

}  // namespace

std::string_view HttpReply::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return {};
}

std::optional<HttpReply> parse_http_reply(std::string_view bytes, bool at_end) {
  while (true) {
    const size_t end = bytes.find("\r\n\r\n");
    if (std::min(end, bytes.size()) > kMostHead) no_http("its head does not end");
    if (end == std::string_view::npos) return {};
    HttpReply reply = head_of(bytes.substr(0, end + 4));
    bytes.remove_prefix(end + 4);
    if (reply.status >= 100 && reply.status < 200) continue;  // 100 Continue: the answer follows
    if (reply.status == 204 || reply.status == 304) return reply;
    if (lower(reply.header("transfer-encoding")) == "chunked") {
      auto body = unchunked(bytes);
      if (!body) return {};
      reply.body = std::move(*body);
    } else if (const std::string_view length = reply.header("content-length"); !length.empty()) {
      const size_t size = number(length, 10);
      if (bytes.size() < size) return {};
      reply.body = bytes.substr(0, size);
    } else if (at_end) {
      reply.body = bytes;
    } else {
      return {};
    }
    return reply;
  }
}

std::string HttpUrl::authority() const {
  const bool v6 = host.find(':') != std::string::npos;
  return fmt::format("{}{}{}:{}", v6 ? "[" : "", host, v6 ? "]" : "", port);
}

std::optional<HttpUrl> parse_http_url(std::string_view text) {
  HttpUrl url;
  const size_t scheme = text.find("://");
  if (scheme == std::string_view::npos) return {};
  const std::string name = lower(text.substr(0, scheme));
  if (name != "http" && name != "https") return {};
  url.tls = name == "https";
  url.port = url.tls ? 443 : 80;
  text.remove_prefix(scheme + 3);
  const bool plain = std::ranges::all_of(text, [](char c) { return c > ' ' && c < 127; });
  const size_t slash = std::min(text.find_first_of("/?#"), text.size());
  std::string_view authority = text.substr(0, slash);
  text.remove_prefix(slash);
  text = text.substr(0, text.find('#'));
  if (!plain || authority.find('@') != std::string_view::npos) return {};
  url.target = text.starts_with('/') ? std::string(text) : "/" + std::string(text);
  size_t colon = authority.rfind(':');
  if (authority.starts_with('[')) {
    const size_t close = authority.find(']');
    if (close == std::string_view::npos) return {};
    url.host = authority.substr(1, close - 1);
    colon = close + 1 < authority.size() ? close + 1 : std::string_view::npos;
  } else {
    url.host = authority.substr(0, colon);
  }
  if (url.host.empty()) return {};
  if (colon == std::string_view::npos) return url;
  const std::string_view port = authority.substr(colon + 1);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), url.port);
  const bool good = authority[colon] == ':' && error == std::errc() && end == port.data() + port.size();
  if (!good || url.port < 1 || url.port > 65535) return {};
  return url;
}

}  // namespace autoglm
