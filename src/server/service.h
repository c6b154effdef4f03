// From a request to whoever answers it: routes, keys, other origins, admission, and what is told about it afterwards.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/access_log.h"
#include "server/admission.h"
#include "server/api/api.h"
#include "server/api_keys.h"
#include "server/debug_routes.h"
#include "server/engine_loop.h"
#include "server/helper.h"
#include "server/http_server.h"
#include "server/metrics.h"
#include "server/request_log.h"
#include "server/traces.h"

namespace autoglm {

struct ServiceOptions {
  std::string api_key_file{};  // empty: no keys
  std::vector<std::string> cors_origins{};
  std::string access_log{};
  int64_t most_inside = 1;  // requests that are computed or wait
};

class Service final : public HttpHandler {
 public:
  /// Errors: those of ApiKeys and AccessLog.
  Service(const ServiceOptions& options, Metrics& metrics, EngineLoop& loop, Helper& helper, TraceExporter& traces);

  /// What is served; until then every request is told to come back. Called once, before the first exchange.
  void serve(const Served& served);
  void drain() { draining_.store(true); }
  /// The server listens on this machine alone: pages of other sites are refused where no key tells who asks.
  void set_local_only() { local_only_ = true; }
  /// Keys and log files are read and opened again (SIGHUP). On the network thread.
  void reload();
  bool has_keys() const { return keys_.has_value(); }
  void set_connections(std::function<int64_t()> count) { connections_ = std::move(count); }
  void set_network_zones(std::shared_ptr<const ZoneClock> zones) { network_zones_ = std::move(zones); }

  // HttpHandler
  std::optional<HttpResponse> head(HttpRequest& request) override;
  void handle(const std::shared_ptr<Exchange>& exchange) override;
  HttpResponse refusal(int status, const std::string& why) override;
  void ended(const HttpRequest& request, const HttpOutcome& outcome) override;
  double seconds_without_progress() const override { return loop_->seconds_without_progress(); }

 private:
  std::optional<HttpResponse> let_in(const std::shared_ptr<ClientMeter>& client, HttpRequest& request);
  HttpResponse plain(const HttpRequest& request, const Route* route);
  MetricsState metrics_state() const;
  std::vector<const ZoneClock*> zones() const;
  HttpResponse overloaded(std::string_view path) const;
  void prepare(const std::shared_ptr<Exchange>& exchange, const Route& route, Admission::Ticket ticket);
  bool allows(std::string_view origin) const;
  bool from_a_strange_page(const HttpRequest& request) const;
  void add_cors(HttpRequest& request) const;

  Metrics* metrics_;
  EngineLoop* loop_;
  Helper* helper_;
  TraceExporter* traces_;
  std::optional<ApiKeys> keys_;
  AccessLog log_;
  std::vector<std::string> cors_origins_;
  Admission admission_;
  RequestLog requests_;
  const Served* served_ = nullptr;
  std::function<int64_t()> connections_;
  std::shared_ptr<const ZoneClock> network_zones_;
  bool local_only_ = false;
  std::atomic<bool> draining_{false};
  DebugRoutes debug_;
};

}  // namespace autoglm
