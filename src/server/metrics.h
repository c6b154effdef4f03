// What happens, in numbers: Prometheus' text, under the names that vLLM's users know ("vllm:...") where the meaning is
// the same, and "autoglm:..." for the rest. Thread-safe; an observation costs about 0.1 us.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/ledger.h"
#include "base/zone.h"
#include "engine/engine.h"
#include "server/request_times.h"

namespace autoglm {

/// What is read when somebody looks, instead of being counted as it happens.
struct MetricsState {
  EngineStatus engine{};
  int64_t inside = 0;       // requests that are computed or wait
  int64_t connections = 0;  // open
  int64_t sent_spans = 0;   // of traces, so far
  int64_t dropped_spans = 0;
  int64_t kv_block_bytes = 0;
  const Ledger* ledger = nullptr;         // null: no lines of memory
  std::vector<const ZoneClock*> zones{};  // a thread each
};

class Metrics {
 public:
  explicit Metrics(const std::string& model_name);
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  void first_token(double seconds);  // since the request arrived
  void gap(double seconds);          // between two tokens of an answer
  void sampled(int64_t tokens);      // as they come: rates are of now, not of answers that have ended
  void ended(FinishReason reason, const Usage& usage, double seconds);
  void refused(int status);  // before the engine saw it
  void step(const StepReport& report);
  void answered(int status);               // any HTTP request
  void stages(const RequestTimes& times);  // of one that the engine has computed
  /// Of a request with a key: `client` is the key's name. Beyond kMostClients names the rest is one, "(other)".
  void of_client(const std::string& client, int status, const RequestRecord& record);
  static constexpr size_t kMostClients = 200;

  std::string text(const MetricsState& now);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace autoglm
