#include "base/http_client.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>

#include "base/error.h"

namespace autoglm {
namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void failed(const HttpUrl& url, const std::string& why) {
  fail(Code::work_failed, fmt::format("{}://{} cannot be asked: {}", url.tls ? "https" : "http", url.authority(), why),
       "look at the address, and whether somebody listens there");
}

class Descriptor {
 public:
  ~Descriptor() { reset(-1); }
  Descriptor() = default;
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  void reset(int number) {
    if (number_ >= 0) ::close(number_);
    number_ = number;
  }
  int operator*() const { return number_; }

 private:
  int number_ = -1;
};

/// A connected socket whose every wait ends with the call's time.
class Connection {
 public:
  Connection(const HttpCall& call, const HttpUrl& url)
      : call_(call),
        url_(url),
        until_(Clock::now() +
               std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(call.seconds))) {
    connect();
    if (url.tls) begin_tls();
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent =
          ssl_ ? tls([&] { return SSL_write(ssl_.get(), bytes.data(), length(bytes.size())); })
               : plain(POLLOUT, [&] { return ::send(*descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL); });
      if (sent <= 0) failed(url_, "the connection was closed");
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
  }

  /// Empty: the end.
  std::string_view receive() {
    const ssize_t got = ssl_ ? tls([&] { return SSL_read(ssl_.get(), buffer_, length(sizeof buffer_)); })
                             : plain(POLLIN, [&] { return ::recv(*descriptor_, buffer_, sizeof buffer_, 0); });
    return {buffer_, static_cast<size_t>(std::max<ssize_t>(0, got))};
  }

 private:
  static int length(size_t bytes) { return static_cast<int>(std::min<size_t>(bytes, 1 << 20)); }

  void wait(short events) {
    while (true) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until_ - Clock::now()).count();
      if (left <= 0) failed(url_, "it is too slow");
      if (call_.given_up && call_.given_up()) failed(url_, "there is no more time");
      pollfd waits{.fd = *descriptor_, .events = events, .revents = 0};
      const int ready = ::poll(&waits, 1, static_cast<int>(std::min<int64_t>(left, 100)));
      if (ready > 0) return;
      if (ready < 0 && errno != EINTR) failed(url_, std::strerror(errno));
    }
  }

  template <class Work>
  ssize_t plain(short events, const Work& work) {
    while (true) {
      const ssize_t done = work();
      if (done >= 0) return done;
      if (errno == EAGAIN || errno == EINTR) {
        wait(events);
      } else {
        failed(url_, std::strerror(errno));
      }
    }
  }

  // 0: the other side has ended it.
  template <class Work>
  ssize_t tls(const Work& work) {
    while (true) {
      ERR_clear_error();
      const int done = work();
      if (done > 0) return done;
      switch (SSL_get_error(ssl_.get(), done)) {
        case SSL_ERROR_WANT_READ:
          wait(POLLIN);
          break;
        case SSL_ERROR_WANT_WRITE:
          wait(POLLOUT);
          break;
        case SSL_ERROR_ZERO_RETURN:
          return 0;
        default:
          fail_tls();
      }
    }
  }

  [[noreturn]] void fail_tls() {
    const int64_t verified = SSL_get_verify_result(ssl_.get());
    if (verified != X509_V_OK) {
      failed(url_, fmt::format("its certificate does not hold: {}", X509_verify_cert_error_string(verified)));
    }
    const char* reason = ERR_reason_error_string(ERR_peek_error());
    failed(url_, fmt::format("TLS failed: {}", reason != nullptr ? reason : "the connection was closed"));
  }

  bool try_connect(const addrinfo& address) {
    descriptor_.reset(::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, address.ai_protocol));
    if (*descriptor_ < 0) return false;
    if (::connect(*descriptor_, address.ai_addr, address.ai_addrlen) == 0) return true;
    if (errno == EINPROGRESS) {
      wait(POLLOUT);
      socklen_t size = sizeof errno;
      int error = 0;
      if (::getsockopt(*descriptor_, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0) return true;
      errno = error;
    }
    const int error = errno;
    descriptor_.reset(-1);
    errno = error;
    return false;
  }

  void connect() {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const int error = ::getaddrinfo(url_.host.c_str(), std::to_string(url_.port).c_str(), &hints, &found);
    if (error != 0) failed(url_, ::gai_strerror(error));
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> addresses(found, ::freeaddrinfo);
    for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
      if (try_connect(*at)) return;
    }
    failed(url_, std::strerror(errno));
  }

  // That the certificate is for this host: by its address, or by its name.
  bool expect(const std::string& host) {
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_.get()), host.c_str()) == 1) return true;
    ERR_clear_error();
    return SSL_set_tlsext_host_name(ssl_.get(), host.c_str()) == 1 && SSL_set1_host(ssl_.get(), host.c_str()) == 1;
  }

  void begin_tls() {
    context_.reset(SSL_CTX_new(TLS_client_method()));
    if (context_ == nullptr) failed(url_, "TLS cannot be set up");
    SSL_CTX_set_min_proto_version(context_.get(), TLS1_2_VERSION);
    SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER, nullptr);
    SSL_CTX_set_default_verify_paths(context_.get());
    ssl_.reset(SSL_new(context_.get()));
    if (ssl_ == nullptr || !expect(url_.host) || SSL_set_fd(ssl_.get(), *descriptor_) != 1)
      failed(url_, "TLS cannot be set up");
    tls([&] { return SSL_connect(ssl_.get()); });
  }

  const HttpCall& call_;
  const HttpUrl& url_;
  const Clock::time_point until_;
  Descriptor descriptor_;  // outlives what TLS does with it
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_{nullptr, SSL_CTX_free};
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl_{nullptr, SSL_free};
  char buffer_[32 << 10];
};

}  // namespace

HttpReply http_call(const HttpCall& call) {
  const auto url = parse_http_url(call.url);
  if (!url) {
    fail(Code::bad_flag, fmt::format("'{}' is not an address of HTTP", call.url.substr(0, 200)),
         "give one such as http://127.0.0.1:8080");
  }
  std::string head =
      fmt::format("{} {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", call.method, url->target, url->authority());
  for (const auto& [name, value] : call.headers) {
    const auto control = [](unsigned char c) { return c < ' ' || c == 127; };
    if (name.empty() || std::ranges::any_of(name + value, control)) {
      fail(Code::bad_flag, fmt::format("the HTTP header '{}' has characters that none may have", name.substr(0, 80)));
    }
    head += fmt::format("{}: {}\r\n", name, value);
  }
  if (!call.body.empty()) head += fmt::format("Content-Length: {}\r\n", call.body.size());
  Connection connection(call, *url);
  connection.send(head + "\r\n" + call.body);
  std::string answer;
  try {
    while (true) {
      const std::string_view more = connection.receive();
      answer += more;
      // Looked at as a whole each time: answers are small, or come in large pieces.
      if (auto reply = parse_http_reply(answer, more.empty())) return std::move(*reply);
      if (more.empty()) failed(*url, "the connection ended before the answer did");
      if (answer.size() > call.most_bytes) failed(*url, "the answer is too long");
    }
  } catch (const Error& error) {
    if (error.code() == Code::bad_file) failed(*url, error.what());
    throw;
  }
}

}  // namespace autoglm
