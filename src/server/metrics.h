// What happens, in numbers: Prometheus' text, under the names that vLLM's users know ("vllm:...") where the meaning is
// the same, and "autoglm:..." for the rest. Thread-safe; an observation costs about 0.1 us.
#pragma once

#include <memory>
#include <string>

#include "engine/engine.h"

namespace autoglm {

class Metrics {
 public:
  explicit Metrics(const std::string& model_name);
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  void first_token(double seconds);  // since the request arrived
  void gap(double seconds);          // between two tokens of an answer
  void ended(FinishReason reason, const Usage& usage, double seconds);
  void refused(int status);  // before the engine saw it
  void step(const StepReport& report);
  void answered(int status);  // any HTTP request

  /// The text, with the engine's state as it is now.
  std::string text(const EngineStatus& status, int64_t inside, int64_t connections);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace autoglm
