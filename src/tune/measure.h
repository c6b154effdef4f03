// A short run of a loaded model: what `doctor` measures while it watches the machine.
#pragma once

#include <cstdint>
#include <functional>

#include "base/zone.h"
#include "model/model.h"

namespace autoglm {

struct ShortRun {
  int64_t prompt = 0;  // tokens
  int64_t decoded = 0;
  double prefill_seconds = 0;
  double decode_seconds = 0;
  ZoneTotals decode_zones{};  // of worker 0
};

/// Tokens that measure_run() asks a context for.
constexpr int64_t kShortRunContext = 512;

/// A prompt of random tokens (at most 256), then decode steps for about a second and a half (8 to 192), after a
/// warm-up. `check` is called between steps and may throw.
ShortRun measure_run(Model& model, const std::function<void()>& check);

}  // namespace autoglm
