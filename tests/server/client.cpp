#include "server/client.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <thread>

namespace autoglm::test {

std::string Reply::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return "";
}

std::vector<std::string> Reply::events() const {
  std::vector<std::string> events;
  for (size_t at = 0; at < body.size();) {
    const size_t end = std::min(body.find("\n\n", at), body.size());
    std::string_view event(body.data() + at, end - at);
    const size_t data = event.find("data: ");
    if (data != std::string_view::npos) events.emplace_back(event.substr(data + 6));
    at = end + 2;
  }
  return events;
}

Client::Client(int port) : descriptor_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  timeval limit{.tv_sec = 60, .tv_usec = 0};  // a hang is a failure, not a wait
  ::setsockopt(descriptor_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ::setsockopt(descriptor_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  const int on = 1;
  ::setsockopt(descriptor_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (::connect(descriptor_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) close();
}

Client::~Client() { close(); }

void Client::close() {
  if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
}

void Client::reset() {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(descriptor_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close();
}

bool Client::start_tls(SSL_CTX* context) {
  tls_.reset(SSL_new(context));
  SSL_set_fd(tls_.get(), descriptor_);
  return SSL_connect(tls_.get()) == 1;
}

bool Client::send(std::string_view bytes) {
  while (!bytes.empty()) {
    errno = 0;
    const ssize_t sent = tls_ ? SSL_write(tls_.get(), bytes.data(), static_cast<int>(bytes.size()))
                              : ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

std::string Client::receive_some() {
  if (!held_.empty()) return std::exchange(held_, {});
  std::array<char, 65536> buffer{};
  ssize_t got = -1;
  do {  // EINTR: the process was stopped for a while, and goes on
    errno = 0;
    got = tls_ ? SSL_read(tls_.get(), buffer.data(), static_cast<int>(buffer.size()))
               : ::recv(descriptor_, buffer.data(), buffer.size(), 0);
  } while (got < 0 && errno == EINTR);
  return got > 0 ? std::string(buffer.data(), static_cast<size_t>(got)) : "";
}

bool Client::closed() { return receive_some().empty(); }

Reply Client::receive(bool head_only) {
  Reply reply;
  std::string text;
  const auto more = [&] {
    const std::string some = receive_some();
    text += some;
    return !some.empty();
  };
  const auto upto = [&](std::string_view mark, size_t from) {
    size_t at = text.find(mark, from);
    while (at == std::string::npos && more()) at = text.find(mark, from);
    return at;
  };
  const size_t end = upto("\r\n\r\n", 0);
  if (end == std::string::npos) return reply;
  reply.status = std::atoi(text.c_str() + 9);
  for (size_t at = text.find("\r\n") + 2; at < end;) {
    const size_t line_end = std::min(text.find("\r\n", at), end);
    const std::string line = text.substr(at, line_end - at);
    const size_t colon = line.find(": ");
    std::string name = line.substr(0, colon);
    std::ranges::transform(name, name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    reply.headers.emplace_back(name, colon == std::string::npos ? "" : line.substr(colon + 2));
    at = line_end + 2;
  }
  size_t at = end + 4;
  if (reply.status == 100) {
    held_ = text.substr(at);
    return receive(head_only);
  }
  if (head_only || reply.status == 204) {
    reply.whole = true;
  } else if (reply.header("transfer-encoding") == "chunked") {
    while (true) {
      const size_t line = upto("\r\n", at);
      if (line == std::string::npos) return reply;
      const size_t size = std::strtoul(text.c_str() + at, nullptr, 16);
      while (text.size() < line + 2 + size + 2) {
        if (!more()) return reply;
      }
      reply.body += text.substr(line + 2, size);
      at = line + 2 + size + 2;
      if (size == 0) break;
    }
    reply.whole = true;
  } else if (const std::string length = reply.header("content-length"); !length.empty()) {
    const size_t size = std::strtoul(length.c_str(), nullptr, 10);
    while (text.size() < at + size && more()) {
    }
    reply.body = text.substr(at, size);
    reply.whole = reply.body.size() == size;
    at += reply.body.size();
  } else {
    while (more()) {
    }
    reply.body = text.substr(at);
    reply.whole = true;
    at = text.size();
  }
  held_ = text.substr(at);
  return reply;
}

Reply Client::get(const std::string& path, const std::string& headers) {
  send(fmt::format("GET {} HTTP/1.1\r\nHost: test\r\n{}\r\n", path, headers));
  return receive();
}

void Client::start_post(const std::string& path, const nlohmann::json& body, const std::string& headers) {
  const std::string text = body.dump();
  send(fmt::format("POST {} HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n{}\r\n{}", path, text.size(), headers,
                   text));
}

Reply Client::post(const std::string& path, const nlohmann::json& body, const std::string& headers) {
  start_post(path, body, headers);
  return receive();
}

std::string post_text(const std::string& path, const nlohmann::json& body) {
  const std::string text = body.dump();
  return fmt::format("POST {} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
                     path, text.size(), text);
}

double metric(Client& client, const std::string& name) {
  const std::string text = client.get("/metrics").body;
  double sum = 0;
  for (size_t at = text.find("\n" + name); at != std::string::npos; at = text.find("\n" + name, at + 1)) {
    sum += std::atof(text.c_str() + text.find(' ', at));
  }
  return sum;
}

bool eventually(const std::function<bool()>& holds) {
  for (int i = 0; i < 3000; ++i) {
    if (holds()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

}  // namespace autoglm::test
