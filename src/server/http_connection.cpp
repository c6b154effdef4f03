// One client's connection: its requests, one after the other.
#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cctype>
#include <tuple>
#include <utility>

#include "server/http_core.h"

namespace autoglm {
namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;
using Parser = http::request_parser<http::string_body>;

constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);

ServerClock::duration seconds(double count) {
  return std::chrono::duration_cast<ServerClock::duration>(std::chrono::duration<double>(count));
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

// A client's id is taken over where it is fit for a log line.
bool good_id(std::string_view id) {
  return !id.empty() && id.size() <= 128 && std::ranges::all_of(id, [](char c) { return c > ' ' && c < 127; });
}

// An error of the parser, as a status; 0: the connection is what failed.
int status_of(const error_code& error) {
  if (error == http::error::header_limit || error == http::error::buffer_overflow) return 431;
  if (error == http::error::body_limit) return 413;
  if (error == beast::error::timeout) return 408;
  if (error == http::error::end_of_stream || error == http::error::partial_message) return 0;
  return error.category() == make_error_code(http::error::bad_method).category() ? 400 : 0;
}

std::string_view words_of(int status) {
  if (status == 431) return "the header of the request is too long";
  if (status == 413) return "the body of the request is too long (server.max_body_bytes)";
  if (status == 408) return "the request did not arrive in time (server.timeout)";
  return "this is not an HTTP request";
}

class Session final : public Connection, public std::enable_shared_from_this<Session> {
 public:
  Session(HttpServer::Core& core, tcp::socket socket)
      : core_(core),
        stream_(std::move(socket), core.tls),
        buffer_(core.limits.header_bytes + kReadAhead),
        news_(core.io),
        look_again_(core.io) {
    core_.connections.insert(this);
    core_.count.store(std::ssize(core_.connections));
    error_code error;
    std::ignore = stream_.socket().set_option(tcp::no_delay(true), error);
    std::ignore = stream_.socket().non_blocking(true, error);
    const auto remote = stream_.socket().remote_endpoint(error);
    if (!error) remote_ = remote.address().to_string();
  }
  ~Session() override {
    if (exchange_) exchange_->hang_up();
    core_.connections.erase(this);
    core_.count.store(std::ssize(core_.connections));
    if (!core_.io.stopped()) core_.check_drained();
  }

  bool waits() const override { return waits_; }
  void close() override {
    error_code ignored;
    std::ignore = stream_.socket().shutdown(tcp::socket::shutdown_both, ignored);
    stream_.close();
    if (exchange_) exchange_->hang_up();
    news_.cancel();
  }
  void wake() override { news_.cancel(); }

  asio::awaitable<void> run() {
    if (!co_await greet()) co_return;
    while (co_await turn()) {
    }
    co_await stream_.end_sending();
  }

 private:
  static constexpr size_t kReadAhead = 64 << 10;
  static constexpr uint64_t kThrownAway = 64 << 10;  // of the body of a request that is refused before it came

  asio::awaitable<bool> greet();
  asio::awaitable<bool> turn();
  std::optional<HttpResponse> before_body(const Parser& parser, HttpRequest& request);
  asio::awaitable<bool> answer_early(Parser& parser, const HttpRequest& request, const HttpResponse& response,
                                     bool keep);
  asio::awaitable<bool> refuse(int status, const HttpRequest& request);
  asio::awaitable<error_code> read_body(Parser& parser);
  asio::awaitable<bool> answer(bool keep);
  asio::awaitable<bool> wait_for_news();
  asio::awaitable<bool> send_whole(const HttpRequest& request, const HttpResponse& response, bool keep);
  asio::awaitable<bool> send_piece(const Writer& writer, std::string_view bytes, bool last, bool keep);
  asio::awaitable<bool> write(std::string_view bytes);
  asio::awaitable<void> linger();
  HttpRequest request_from(const Parser& parser);
  std::optional<HttpResponse> look_at(HttpRequest& request);
  void hand_on(HttpRequest request);
  static Piece worded(Exchange::News news, Writer* writer);
  void watch(const std::shared_ptr<Exchange>& exchange);
  void unwatch();
  void end(const HttpRequest& request, int status);
  std::string next_id() { return "req-" + std::to_string(++core_.requests); }

  HttpServer::Core& core_;
  ClientStream stream_;
  beast::flat_buffer buffer_;
  asio::steady_timer news_;  // cancelled when there is something to send
  asio::steady_timer look_again_;
  std::string remote_;
  std::shared_ptr<Exchange> exchange_;
  bool waits_ = false;
  bool chunks_ = true;  // HTTP/1.1
  bool begun_ = false;  // a stream's head was sent
  uint64_t sent_ = 0;
  ServerClock::time_point first_byte_{};
};

HttpRequest Session::request_from(const Parser& parser) {
  HttpRequest request;
  const auto& message = parser.get();
  request.method = std::string(message.method_string());
  const std::string_view target(message.target().data(), message.target().size());
  const size_t query = std::min(target.find('?'), target.size());
  request.path = percent_decoded(target.substr(0, query));
  if (query < target.size()) request.query = target.substr(query + 1);
  request.remote = remote_;
  request.received = first_byte_;
  for (const auto& field : message) {
    const auto name = field.name_string();
    const auto value = field.value();
    request.headers.emplace_back(lower({name.data(), name.size()}), std::string(value.data(), value.size()));
  }
  const std::string_view id = request.header("x-request-id");
  request.id = good_id(id) ? std::string(id) : next_id();
  return request;
}

void Session::end(const HttpRequest& request, int status) {
  RequestRecord record;
  if (exchange_) record = exchange_->record();
  record.times.arrived = steady_seconds(request.received);
  record.times.sent = steady_seconds();
  core_.handler->ended(request, {.status = status,
                                 .bytes = sent_,
                                 .seconds = record.times.sent - record.times.arrived,
                                 .streamed = begun_,
                                 .record = record});
}

// TLS, where that is wanted. False: the connection is done.
asio::awaitable<bool> Session::greet() {
  waits_ = true;
  stream_.expires_after(seconds(core_.limits.idle_seconds));
  const ClientStream::Greeting greeting = co_await stream_.greet();
  waits_ = false;
  if (greeting != ClientStream::Greeting::not_tls) co_return greeting == ClientStream::Greeting::good;
  HttpRequest request;
  request.id = next_id();
  request.remote = remote_;
  co_await send_whole(request, core_.handler->refusal(400, "this port speaks TLS: its address begins with https://"),
                      false);
  co_await linger();
  co_return false;
}

// Whoever could come later, or not at all, is not waited for: neither in here nor in handle().
std::optional<HttpResponse> Session::look_at(HttpRequest& request) {
  const ZoneStamp zone(Zone::receive);
  return core_.handler->head(request);
}

void Session::hand_on(HttpRequest request) {
  const ZoneStamp zone(Zone::receive);
  exchange_ = std::make_shared<Exchange>(std::move(request), core_.limits.unsent_bytes, core_.bell, weak_from_this());
  core_.handler->handle(exchange_);
}

Piece Session::worded(Exchange::News news, Writer* writer) {
  const ZoneStamp zone(Zone::serialize);
  Piece piece;
  piece.whole = std::move(news.response);
  for (Happening& happening : news.happenings) {
    if (writer != nullptr && !piece.whole && !piece.last) writer->take(std::move(happening), piece);
  }
  return piece;
}

// One request. False: the connection is done.
asio::awaitable<bool> Session::turn() {
  Parser parser;
  parser.header_limit(static_cast<uint32_t>(core_.limits.header_bytes));
  parser.body_limit(boost::none);  // looked at below, when the header is known
  sent_ = 0;
  begun_ = false;
  if (buffer_.size() == 0) {
    waits_ = true;
    stream_.expires_after(seconds(core_.limits.idle_seconds));
    auto [error, got] = co_await stream_.async_read_some(buffer_.prepare(4096), kTuple);
    waits_ = false;
    if (error) co_return false;
    buffer_.commit(got);
  }
  first_byte_ = ServerClock::now();
  stream_.expires_after(seconds(core_.limits.idle_seconds));
  auto [error, bytes] = co_await http::async_read_header(stream_, buffer_, parser, kTuple);
  chunks_ = parser.get().version() >= 11;
  HttpRequest request = request_from(parser);
  if (error) co_return co_await refuse(status_of(error), request);
  const bool keep = parser.keep_alive() && !core_.draining;
  if (const std::optional<HttpResponse> early = before_body(parser, request)) {
    co_return co_await answer_early(parser, request, *early, keep);
  }
  parser.body_limit(core_.limits.body_bytes);
  const error_code failed = co_await read_body(parser);
  if (failed) co_return co_await refuse(status_of(failed), request);
  request.body = std::move(parser.get().body());
  hand_on(std::move(request));
  const bool more = co_await answer(keep);
  exchange_->hang_up();  // whatever is left of it is for nobody
  exchange_.reset();
  co_return more;
}

std::optional<HttpResponse> Session::before_body(const Parser& parser, HttpRequest& request) {
  if (parser.content_length().value_or(0) > core_.limits.body_bytes) {
    return core_.handler->refusal(413, std::string(words_of(413)));
  }
  return look_at(request);
}

// The answer does not wait for the body. A short one is read all the same, at the pace that any body has to keep, so
// that the connection can go on; a long one, or one whose length nobody knows, ends it.
asio::awaitable<bool> Session::answer_early(Parser& parser, const HttpRequest& request, const HttpResponse& response,
                                            bool keep) {
  if (parser.is_done()) co_return co_await send_whole(request, response, keep);
  const uint64_t length = parser.content_length().value_or(UINT64_MAX);
  const bool short_body = length <= kThrownAway && parser.get()[http::field::expect].empty();
  if (!co_await send_whole(request, response, keep && short_body)) {
    co_await linger();
    co_return false;
  }
  parser.body_limit(kThrownAway);
  waits_ = true;
  const error_code failed = co_await read_body(parser);
  waits_ = false;
  co_return !failed;
}

asio::awaitable<bool> Session::refuse(int status, const HttpRequest& request) {
  if (status == 0) co_return false;
  if (!stream_.socket().is_open()) {  // a timeout of the stream closes it
    end(request, status);
    co_return false;
  }
  co_await send_whole(request, core_.handler->refusal(status, std::string(words_of(status))), false);
  co_await linger();
  co_return false;
}

// Byte by byte is allowed, but not for ever.
asio::awaitable<error_code> Session::read_body(Parser& parser) {
  if (parser.is_done()) co_return error_code{};
  if (lower(std::string_view(parser.get()[http::field::expect].data(), parser.get()[http::field::expect].size())) ==
      "100-continue") {
    if (!co_await write("HTTP/1.1 100 Continue\r\n\r\n")) co_return asio::error::broken_pipe;
  }
  const auto begin = ServerClock::now();
  size_t arrived = 0;
  while (!parser.is_done()) {
    const auto patience = seconds(core_.limits.idle_seconds);
    const auto allowed = begin + patience + seconds(static_cast<double>(arrived) / core_.limits.body_bytes_per_second);
    stream_.expires_at(std::min(ServerClock::now() + patience, allowed));
    auto [error, bytes] = co_await http::async_read_some(stream_, buffer_, parser, kTuple);
    arrived += bytes;
    if (error) co_return error;
  }
  co_return error_code{};
}

// A client that closes the connection wants no answer. What it sends meanwhile (its next request, or a part of TLS that
// is none of ours) stays where it is, and the client is looked at again from time to time.
void Session::watch(const std::shared_ptr<Exchange>& exchange) {
  stream_.socket().async_wait(tcp::socket::wait_read, [weak = weak_from_this(), exchange](const error_code& error) {
    const auto self = weak.lock();
    if (error || !self || self->exchange_ != exchange) return;
    if (self->stream_.peer_has_left()) {
      exchange->hang_up();
      return self->wake();
    }
    self->look_again_.expires_after(std::chrono::milliseconds(250));
    self->look_again_.async_wait([weak, exchange](const error_code& cancelled) {
      const auto still = weak.lock();
      if (!cancelled && still && still->exchange_ == exchange) still->watch(exchange);
    });
  });
}

void Session::unwatch() {
  error_code ignored;
  std::ignore = stream_.socket().cancel(ignored);
  look_again_.cancel();
}

asio::awaitable<bool> Session::answer(bool keep) {
  const std::shared_ptr<Exchange> exchange = exchange_;
  watch(exchange);
  stream_.expires_never();
  while (true) {
    Exchange::News news = exchange->take_news();
    if (exchange->gone()) {
      end(exchange->request(), 499);
      co_return false;
    }
    if (news.empty()) {
      if (co_await wait_for_news()) continue;
      exchange->hang_up();
      if (begun_) {
        end(exchange->request(), 504);
        co_return false;
      }
      co_return co_await refuse(504, exchange->request());
    }
    Writer* writer = exchange->writer();
    const Piece piece = worded(std::move(news), writer);
    const bool kept = keep && !core_.draining;
    if (piece.whole && begun_) co_return false;
    if (piece.whole) {
      unwatch();
      co_return co_await send_whole(exchange->request(), *piece.whole, kept);
    }
    if (piece.bytes.empty() && !piece.last) continue;
    if (piece.last) unwatch();
    const bool sent = co_await send_piece(*writer, piece.bytes, piece.last, kept);
    if (!sent || piece.last) {
      end(exchange->request(), sent ? 200 : 499);
      co_return sent&& kept&& chunks_;
    }
  }
}

// False: nothing came for as long as a connection may be idle, and nobody works either.
asio::awaitable<bool> Session::wait_for_news() {
  news_.expires_after(seconds(core_.limits.idle_seconds));
  auto [error] = co_await news_.async_wait(kTuple);
  if (error) co_return true;
  co_return core_.handler->seconds_without_progress() < core_.limits.idle_seconds;
}

asio::awaitable<bool> Session::send_whole(const HttpRequest& request, const HttpResponse& response, bool keep) {
  const bool has_body = !response.content_type.empty();
  auto headers = response.headers;
  headers.insert(headers.end(), request.answer_headers.begin(), request.answer_headers.end());
  std::string text =
      head_text({.status = response.status,
                 .content_type = response.content_type,
                 .request_id = request.id,
                 .keep_alive = keep,
                 .length = response.status == 204 || response.status == 304 ? -1 : std::ssize(response.body),
                 .headers = &headers});
  if (has_body && request.method != "HEAD") {
    text += response.body;
    sent_ = response.body.size();
  }
  const bool sent = co_await write(text);
  end(request, sent ? response.status : 499);
  co_return sent&& keep;
}

asio::awaitable<bool> Session::send_piece(const Writer& writer, std::string_view bytes, bool last, bool keep) {
  std::string text;
  if (!std::exchange(begun_, true)) {
    const HttpRequest& request = exchange_->request();
    std::vector<std::pair<std::string, std::string>> headers = {{"Cache-Control", "no-cache"},
                                                                {"X-Accel-Buffering", "no"}};
    headers.insert(headers.end(), request.answer_headers.begin(), request.answer_headers.end());
    text = head_text({.status = 200,
                      .content_type = writer.content_type(),
                      .request_id = request.id,
                      .keep_alive = keep && chunks_,
                      .chunked = chunks_,
                      .headers = &headers});
  }
  sent_ += bytes.size();
  if (!bytes.empty()) text += chunks_ ? chunk_text(bytes) : std::string(bytes);
  if (last && chunks_) text += chunk_text({});
  co_return co_await write(text);
}

// What a stream sends nearly always fits into the socket's buffer: that is done without timers and without the reactor.
asio::awaitable<bool> Session::write(std::string_view bytes) {
  error_code failed;
  {
    const ZoneStamp zone(Zone::socket_write);
    bytes.remove_prefix(stream_.write_now(bytes, failed));
  }
  if (failed && failed != asio::error::would_block) co_return false;
  while (!bytes.empty()) {
    stream_.expires_after(seconds(core_.limits.idle_seconds));
    auto [error, sent] = co_await stream_.async_write_some(asio::buffer(bytes), kTuple);
    if (error) co_return false;
    bytes.remove_prefix(sent);
  }
  co_return true;
}

// A client that still sends would see its connection reset before it reads why: what comes is thrown away for a while.
asio::awaitable<void> Session::linger() {
  co_await stream_.end_sending();
  stream_.expires_after(std::chrono::seconds(1));
  buffer_.clear();
  for (size_t left = 4 << 20; left > 0;) {
    auto [error, got] = co_await stream_.tcp().async_read_some(buffer_.prepare(kReadAhead / 2), kTuple);
    if (error) co_return;
    left -= std::min(left, got);
  }
}

}  // namespace

void start_connection(HttpServer::Core& core, tcp::socket socket) {
  const auto session = std::make_shared<Session>(core, std::move(socket));
  asio::co_spawn(core.io, [session] { return session->run(); }, asio::detached);
}

}  // namespace autoglm
