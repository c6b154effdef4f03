#include "server/service.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/log.h"
#include "base/zone.h"
#include "server/api/errors.h"
#include "server/api/fields.h"
#include "server/page/page.h"
#include "text/chat_messages.h"

namespace autoglm {
namespace {

std::string_view key_of(const HttpRequest& request) {
  constexpr std::string_view kBearer = "Bearer ";
  const std::string_view authorization = request.header("authorization");
  if (authorization.starts_with(kBearer)) return authorization.substr(kBearer.size());
  return request.header("x-api-key");  // Anthropic's
}

const Route* find_route(std::string_view method, std::string_view path) {
  for (const Route& route : routes()) {
    if (route.path == path && route.method == method) return &route;
  }
  return nullptr;
}

// Routes that take GET and are answered by plain().
bool is_own(std::string_view path) {
  return path == "/health" || path == "/metrics" || path == "/debug/requests" || is_page(path);
}

std::string methods_of(std::string_view path) {
  std::string methods;
  const auto add = [&methods](std::string_view method) {
    methods += methods.empty() ? "" : ", ";
    methods += method;
    if (method == "GET") methods += ", HEAD";
  };
  if (is_own(path) || DebugRoutes::has(path)) add("GET");
  for (const Route& route : routes()) {
    if (route.path == path) add(route.method);
  }
  return methods;
}

// "localhost:8080", "127.0.0.1", "[::1]:80": a name that nobody else can give another address, or no name at all.
bool names_this_machine(std::string_view authority) {
  if (authority.starts_with('[')) return true;
  const std::string_view host = authority.substr(0, authority.find(':'));
  return host == "localhost" || host.ends_with(".localhost") ||
         host.find_first_not_of("0123456789.") == std::string_view::npos;
}

}  // namespace

Service::Service(const ServiceOptions& options, Metrics& metrics, EngineLoop& loop, Helper& helper,
                 TraceExporter& traces)
    : metrics_(&metrics),
      loop_(&loop),
      helper_(&helper),
      traces_(&traces),
      log_(options.access_log),
      cors_origins_(options.cors_origins),
      admission_(options.most_inside) {
  if (!options.api_key_file.empty()) keys_.emplace(options.api_key_file, server_seconds());
}

void Service::serve(const Served& served) { served_ = &served; }

void Service::reload() {
  log_.reopen();
  if (!keys_) return;
  try {
    keys_->reload(server_seconds());
  } catch (const Error& error) {
    log(LogLevel::error, fmt::format("the API keys stay as they were: {}", error.what()));
  }
}

bool Service::allows(std::string_view origin) const {
  return std::ranges::any_of(cors_origins_, [&](const std::string& one) { return one == "*" || one == origin; });
}

// A server for this machine alone, without keys, is still reached by the browser of who uses it: any site's page could
// post to it, and one whose name leads to this address (DNS rebinding) could read the answers too. Browsers say where a
// page comes from; programs say nothing, or a scheme of their own (file://, vscode-webview://).
bool Service::from_a_strange_page(const HttpRequest& request) const {
  const std::string_view origin = request.header("origin");
  if (!local_only_ || keys_ || allows(origin)) return false;
  const size_t scheme = origin.starts_with("https://") ? 8 : origin.starts_with("http://") ? 7 : 0;
  return scheme > 0 && !names_this_machine(origin.substr(scheme));
}

void Service::add_cors(HttpRequest& request) const {
  auto& headers = request.answer_headers;
  const std::string origin(request.header("origin"));
  if (origin.empty() || !allows(origin)) return;
  const bool any = std::ranges::find(cors_origins_, "*") != cors_origins_.end();
  headers.emplace_back("Access-Control-Allow-Origin", any ? "*" : origin);
  headers.emplace_back("Access-Control-Expose-Headers", "x-request-id");
  if (!any) headers.emplace_back("Vary", "Origin");
  if (request.method != "OPTIONS") return;
  headers.emplace_back("Access-Control-Allow-Methods", methods_of(request.path));
  headers.emplace_back("Access-Control-Allow-Headers", "*, Authorization, Content-Type");
  headers.emplace_back("Access-Control-Max-Age", "600");
}

std::optional<HttpResponse> Service::head(HttpRequest& request) {
  add_cors(request);
  const std::string_view method = request.method == "HEAD" ? "GET" : std::string_view(request.method);
  const std::string methods = methods_of(request.path);
  if (methods.empty()) {
    return error_response(request.path, 404,
                          Error(Code::bad_request, fmt::format("there is nothing at {}", request.path.substr(0, 200)),
                                "docs/SERVING.md lists what there is"));
  }
  if (method == "OPTIONS") {
    return HttpResponse{.status = 204, .content_type = "", .headers = {{"Allow", methods + ", OPTIONS"}}};
  }
  const Route* route = find_route(method, request.path);
  const bool own = is_own(request.path);
  const bool debug = DebugRoutes::has(request.path);
  if (route == nullptr && !((own || debug) && method == "GET")) {
    HttpResponse response = error_response(
        request.path, 405,
        Error(Code::bad_request, fmt::format("{} does not take {}", request.path, request.method.substr(0, 20)),
              "it takes " + methods));
    response.headers.emplace_back("Allow", methods + ", OPTIONS");
    return response;
  }
  if (from_a_strange_page(request)) {
    return error_response(
        request.path, 403,
        Error(Code::unauthorized,
              fmt::format("pages of {} may not use this server", request.header("origin").substr(0, 200)),
              "name them with --cors-origin, or set keys (--api-key-file)"));
  }
  if (keys_ && request.path != "/health") {
    const std::string_view key = key_of(request);
    const std::shared_ptr<ClientMeter> client = keys_->client(key);
    if (!client) {
      if (std::optional<HttpResponse> page = key_page(request)) return page;
      return error_response(request.path,
                            Error(Code::unauthorized, key.empty() ? "there is no API key" : "the API key is not known",
                                  "send it as Authorization: Bearer KEY"));
    }
    request.client = client->name();
    if (route != nullptr && route->plain == nullptr) {
      if (std::optional<HttpResponse> refused = let_in(client, request)) return refused;
    }
  }
  if (own || (route != nullptr && route->plain != nullptr)) return plain(request, route);
  if (!draining_.load()) return std::nullopt;
  HttpResponse response =
      error_response(request.path, 503, Error(Code::overloaded, "the server is shutting down", "try another one"));
  response.headers.emplace_back("Retry-After", "5");
  return response;
}

// What the client's limits say, also in the headers of whatever is answered.
std::optional<HttpResponse> Service::let_in(const std::shared_ptr<ClientMeter>& client, HttpRequest& request) {
  const double now = server_seconds();
  const ClientMeter::Verdict verdict = client->enter(now);
  for (auto& header : client->headers(now)) request.answer_headers.push_back(std::move(header));
  if (verdict.refused.empty()) {
    request.lease = std::make_shared<ClientLease>(client);
    return std::nullopt;
  }
  metrics_->refused(429);
  return error_response(request.path, KeyLimitError(verdict.refused, "try again later"),
                        static_cast<int>(std::clamp(std::ceil(verdict.retry_after), 1.0, 86400.0)));
}

HttpResponse Service::plain(const HttpRequest& request, const Route* route) {
  if (route != nullptr) return route->plain(*served_);
  if (request.path == "/metrics") {
    return {.status = 200,
            .body = metrics_->text(metrics_state()),
            .content_type = "text/plain; version=0.0.4; charset=utf-8"};
  }
  if (request.path == "/debug/requests") return requests_.response(request.query);
  if (is_page(request.path)) return page_response(request, *served_);
  if (draining_.load()) return {.status = 503, .body = R"({"status":"stopping"})"};
  return {.status = 200, .body = R"({"status":"ok"})"};
}

std::vector<const ZoneClock*> Service::zones() const {
  std::vector<const ZoneClock*> zones = helper_->zones();
  zones.push_back(&loop_->zones());
  if (network_zones_) zones.push_back(network_zones_.get());
  return zones;
}

MetricsState Service::metrics_state() const {
  MetricsState state{.engine = loop_->status(),
                     .inside = admission_.inside(),
                     .connections = connections_ ? connections_() : 0,
                     .sent_spans = traces_->sent_spans(),
                     .dropped_spans = traces_->dropped_spans(),
                     .zones = zones()};
  if (served_ != nullptr) {
    state.kv_block_bytes = served_->kv_block_bytes;
    state.ledger = served_->ledger;
  }
  return state;
}

// When the prompts that are here will have been read, a request has a better chance.
HttpResponse Service::overloaded(std::string_view path) const {
  const double backlog = loop_->status().backlog_seconds;
  const int seconds = static_cast<int>(std::clamp(std::ceil(backlog), 1.0, 60.0));
  return error_response(
      path,
      Error(Code::overloaded, fmt::format("the queue is full: {} requests are here", admission_.inside()),
            "try again later; server.max_queue (--max-queue) says how many may wait"),
      seconds);
}

void Service::handle(const std::shared_ptr<Exchange>& exchange) {
  const HttpRequest& request = exchange->request();
  if (DebugRoutes::has(request.path)) {
    // What the threads did is looked at by the thread that answers; the list of requests is this one's.
    return debug_.handle(exchange, [clocks = zones(), requests = requests_.tracks()](double seconds) {
      std::vector<TraceTrack> tracks = requests;
      for (const ZoneClock* clock : clocks) tracks.push_back(track_of(*clock, seconds));
      return tracks;
    });
  }
  const Route* route = find_route(request.method, request.path);
  requests_.began(exchange);
  auto ticket = std::make_shared<Admission::Ticket>(admission_.try_enter(request.lease));
  if (!*ticket) {
    metrics_->refused(429);
    return exchange->respond(overloaded(request.path));
  }
  helper_->post(request.body.size(),
                [this, exchange, route, ticket] { prepare(exchange, *route, std::move(*ticket)); });
}

// On the helper: whatever can be wrong with a body is an answer.
void Service::prepare(const std::shared_ptr<Exchange>& exchange, const Route& route, Admission::Ticket ticket) {
  if (exchange->gone()) return;
  const ZoneStamp zone(Zone::parse);
  exchange->note([](RequestRecord& record) { record.times.taken = steady_seconds(); });
  const HttpRequest& request = exchange->request();
  const auto respond = [&](HttpResponse response) {
    if (response.status >= 400) metrics_->refused(response.status);
    ticket.end();
    exchange->respond(std::move(response));
  };
  try {
    const Json body = parse_chat_json(request.body, "the body");
    if (route.compute != nullptr) return respond(route.compute(*served_, body));
    Asked asked = route.ask(*served_, request, body);
    const int64_t places = asked.places > 0 ? asked.places : std::ssize(asked.requests);
    if (!ticket.grow(places - 1)) return respond(overloaded(request.path));
    exchange->set_writer(std::move(asked.writer));
    exchange->note([](RequestRecord& record) { record.times.prepared = steady_seconds(); });
    loop_->submit(exchange, std::move(asked.requests), std::move(ticket));
  } catch (const Error& error) {
    respond(error_response(request.path, error));
  } catch (const Json::exception& error) {  // a value of a kind that nobody looked for
    respond(error_response(request.path, Error(Code::bad_request, error.what())));
  } catch (const std::exception& error) {
    log(LogLevel::error, fmt::format("request {}: {}", request.id, error.what()));
    respond(error_response(request.path, Error(Code::internal, error.what())));
  }
}

HttpResponse Service::refusal(int status, const std::string& why) {
  HttpResponse response = error_response("", status, Error(status >= 500 ? Code::overloaded : Code::bad_request, why));
  if (status == 503) response.headers.emplace_back("Retry-After", "1");
  return response;
}

void Service::ended(const HttpRequest& request, const HttpOutcome& outcome) {
  metrics_->answered(outcome.status);
  if (outcome.record.choices > 0) metrics_->stages(outcome.record.times);
  if (!request.client.empty()) metrics_->of_client(request.client, outcome.status, outcome.record);
  const std::string trace = traces_->ended(request, outcome);
  log_.write(request, outcome, trace);
  requests_.ended(request, outcome);
}

}  // namespace autoglm
