#include "server/http_stream.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <filesystem>
#include <string>
#include <tuple>

#include "base/error.h"

namespace autoglm {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
constexpr char kHandshakeRecord = 0x16;  // the first byte of every TLS connection

[[noreturn]] void refuse(std::string_view what, const std::string& file, const error_code& error, std::string hint) {
  fail(Code::bad_file, fmt::format("{} cannot be used: {}: {}", what, file, error.message()), std::move(hint));
}

}  // namespace

std::shared_ptr<TlsContext> make_tls_context(const TlsFiles& files) {
  if (files.certificate.empty() && files.key.empty()) return nullptr;
  if (files.certificate.empty() || files.key.empty()) {
    fail(Code::bad_flag, "TLS needs both a certificate and its key", "give --tls-cert and --tls-key");
  }
  auto context = std::make_shared<TlsContext>(TlsContext::tls_server);
  SSL_CTX* native = context->native_handle();
  AUTOGLM_CHECK(SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION) == 1, "TLS 1.2");
  SSL_CTX_set_options(native, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_session_cache_mode(native, SSL_SESS_CACHE_OFF);  // clients keep tickets; nothing is kept here for them
  error_code error;
  // A key that asks for a passphrase must not ask the terminal of a server.
  std::ignore =
      context->set_password_callback([](size_t, TlsContext::password_purpose) { return std::string(); }, error);
  std::ignore = context->use_certificate_chain_file(files.certificate, error);
  if (error) refuse("the certificate", files.certificate, error, "give a PEM file with the chain to --tls-cert");
  std::ignore = context->use_private_key_file(files.key, TlsContext::pem, error);
  if (error) {
    refuse("the key of the certificate", files.key, error,
           "give a PEM file without a passphrase, with the key of the certificate in --tls-cert, to --tls-key");
  }
  return context;
}

asio::awaitable<ClientStream::Greeting> ClientStream::greet() {
  if (!tls_) co_return Greeting::good;
  std::array<char, 1024> first{};
  auto [error, got] = co_await tcp_.async_read_some(asio::buffer(first), kTuple);
  if (error) co_return Greeting::failed;
  if (first[0] != kHandshakeRecord) {
    tls_.reset();
    co_return Greeting::not_tls;
  }
  auto [failed, used] =
      co_await tls_->async_handshake(asio::ssl::stream_base::server, asio::buffer(first.data(), got), kTuple);
  co_return failed || used != got ? Greeting::failed : Greeting::good;
}

asio::awaitable<void> ClientStream::end_sending() {
  error_code ignored;
  // Waits for the client's own goodbye, which stops it from reading anything else: a second is enough for both.
  if (tls_ && tcp_.socket().is_open()) {
    tcp_.expires_after(std::chrono::seconds(1));
    co_await tls_->async_shutdown(kTuple);
  }
  std::ignore = tcp_.socket().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
}

bool ClientStream::peer_has_left() {
  pollfd state{.fd = tcp_.socket().native_handle(), .events = POLLRDHUP, .revents = 0};
  return ::poll(&state, 1, 0) > 0;  // hang-ups and errors are told unasked
}

}  // namespace autoglm
