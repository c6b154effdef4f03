// A client's connection as a stream of bytes, plain or through TLS: the one place where the two differ.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "server/http_server.h"

namespace autoglm {

using TlsContext = boost::asio::ssl::context;

/// TLS 1.2 and 1.3 with this certificate. Errors: bad_flag (one file without the other), bad_file (not there, no PEM,
/// a key with a passphrase or of another certificate).
std::shared_ptr<TlsContext> make_tls_context(const TlsFiles& files);

/// What Beast reads and writes. Deadlines are those of the TCP stream below, and hold for whatever goes through it.
class ClientStream {
 public:
  using executor_type = boost::beast::tcp_stream::executor_type;
  /// `tls` null: plain.
  ClientStream(boost::asio::ip::tcp::socket socket, std::shared_ptr<TlsContext> tls)
      : tcp_(std::move(socket)), context_(std::move(tls)) {
    if (context_) tls_.emplace(tcp_, *context_);
  }

  executor_type get_executor() noexcept { return tcp_.get_executor(); }
  template <typename Buffers, typename Token>
  auto async_read_some(const Buffers& buffers, Token&& token) {
    if (tls_) return tls_->async_read_some(buffers, std::forward<Token>(token));
    return tcp_.async_read_some(buffers, std::forward<Token>(token));
  }
  template <typename Buffers, typename Token>
  auto async_write_some(const Buffers& buffers, Token&& token) {
    if (tls_) return tls_->async_write_some(buffers, std::forward<Token>(token));
    return tcp_.async_write_some(buffers, std::forward<Token>(token));
  }

  /// As much as can be sent without waiting: nothing through TLS. The socket does not block.
  size_t write_now(std::string_view bytes, boost::system::error_code& error) {
    return tls_ ? 0 : tcp_.socket().write_some(boost::asio::buffer(bytes), error);
  }

  enum class Greeting : uint8_t { good, failed, not_tls };
  /// The handshake; nothing where there is no TLS. After not_tls the stream is plain, and what came is lost: enough to
  /// say what is wrong.
  boost::asio::awaitable<Greeting> greet();
  /// Nothing more will be sent: the client's reads end as they should.
  boost::asio::awaitable<void> end_sending();
  /// The client closed its side, or the connection is broken.
  bool peer_has_left();

  void expires_after(std::chrono::steady_clock::duration time) { tcp_.expires_after(time); }
  void expires_at(std::chrono::steady_clock::time_point time) { tcp_.expires_at(time); }
  void expires_never() { tcp_.expires_never(); }
  boost::asio::ip::tcp::socket& socket() { return tcp_.socket(); }
  /// Below TLS, for throwing away what nobody reads.
  boost::beast::tcp_stream& tcp() { return tcp_; }
  void close() { tcp_.close(); }

 private:
  boost::beast::tcp_stream tcp_;
  std::shared_ptr<TlsContext> context_;  // outlives the connection though the certificate may be replaced
  std::optional<boost::asio::ssl::stream<boost::beast::tcp_stream&>> tls_;
};

}  // namespace autoglm
