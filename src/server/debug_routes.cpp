#include "server/debug_routes.h"

#include <fmt/format.h>
#include <pthread.h>

#include <charconv>
#include <system_error>

#include "base/error.h"
#include "base/priority.h"
#include "server/api/errors.h"

namespace autoglm {
namespace {

constexpr std::string_view kProfile = "/debug/pprof/profile";
constexpr std::string_view kFlameGraph = "/debug/flamegraph";
constexpr std::string_view kTrace = "/debug/trace";
constexpr double kLongest = 300;

double seconds_of(const HttpRequest& request) {
  const std::string text = query_value(request.query, "seconds");
  if (text.empty()) return request.path == kProfile ? 30 : 5;  // pprof's own: 30
  double seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc() || end != text.data() + text.size() || !(seconds > 0) || seconds > kLongest) {
    fail(Code::bad_request, fmt::format("'seconds' must be a number up to {}", kLongest),
         "leave it out, or give seconds=10");
  }
  return seconds;
}

}  // namespace

std::string query_value(std::string_view query, std::string_view key) {
  while (!query.empty()) {
    const std::string_view part = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(part.size() + 1, query.size()));
    if (part.starts_with(key) && part.substr(key.size()).starts_with('=')) {
      return percent_decoded(part.substr(key.size() + 1));
    }
  }
  return {};
}

bool DebugRoutes::has(std::string_view path) { return path == kProfile || path == kFlameGraph || path == kTrace; }

DebugRoutes::~DebugRoutes() {
  stopping_.store(true);
  if (thread_.joinable()) thread_.join();
}

void DebugRoutes::handle(const std::shared_ptr<Exchange>& exchange, Tracks tracks) {
  const std::string& path = exchange->request().path;
  try {
    const double seconds = seconds_of(exchange->request());
    if (running_.exchange(true)) {
      return exchange->respond(
          error_response(path, Error(Code::overloaded, "another profile is being taken", "wait for its end"), 5));
    }
    if (thread_.joinable()) thread_.join();  // it has ended
    try {
      thread_ = std::thread([this, exchange, seconds, tracks = std::move(tracks)] { run(exchange, seconds, tracks); });
    } catch (const std::system_error&) {
      running_.store(false);
      fail(Code::internal, "the system gives no more threads");
    }
  } catch (const Error& error) {
    exchange->respond(error_response(path, error));
  }
}

HttpResponse DebugRoutes::made(const Exchange& exchange, double seconds, const Tracks& tracks) {
  HttpResponse response;
  const std::string& path = exchange.request().path;
  if (path == kTrace) {
    response.body = trace_events_json(tracks(seconds));
    response.headers = {{"Cache-Control", "no-store"}};
    return response;
  }
  const CpuProfile profile = profile_cpu(seconds, [&] { return stopping_.load() || exchange.gone(); });
  Symbolizer symbols;
  if (path == kFlameGraph) {
    response.body = flame_graph_page(call_tree_of(profile, symbols), profile);
    response.content_type = "text/html; charset=utf-8";
  } else {
    response.body = pprof_of(profile, symbols);
    response.content_type = "application/octet-stream";
    response.headers.emplace_back("Content-Disposition", "attachment; filename=\"profile.pb.gz\"");
  }
  return response;
}

void DebugRoutes::run(const std::shared_ptr<Exchange>& exchange, double seconds, const Tracks& tracks) {
  ::pthread_setname_np(::pthread_self(), "autoglm-profile");
  be_nice(10);
  HttpResponse response;
  try {
    response = made(*exchange, seconds, tracks);
  } catch (const Error& error) {
    response = error_response(exchange->request().path, error);
  } catch (const std::exception& error) {
    response = error_response(exchange->request().path, Error(Code::internal, error.what()));
  }
  running_.store(false);
  exchange->respond(std::move(response));
}

}  // namespace autoglm
