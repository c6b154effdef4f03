// What `run` and `chat` share: sampling as the settings say, and one answer from request to finish.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cli/open.h"
#include "engine/chat.h"
#include "engine/engine.h"
#include "engine/options.h"

namespace autoglm {

/// The model's own recommendation, with what was asked for in its place. `max_tokens`, `stop` too.
Request request_from_settings(const Settings& settings, const ModelSource& source, int64_t vocabulary);

/// For one request at a time; prefixes are kept on disk where the user wants that.
EngineOptions engine_options(const Context& context, const OpenedModel& opened);

/// One answer, whole.
struct Answer {
  std::string text;
  std::string reasoning;
  std::vector<int32_t> tokens;
  FinishReason finish = FinishReason::none;
  Usage usage;
  double first_token_ms = 0;  // from process start
  double decode_tps() const;  // 0 below two tokens
  double prefill_tps() const;
};

/// Runs a request alone. Text goes to `print` as it comes (reasoning to `think`); either may be empty. With
/// `interrupted` true the request is cancelled and the answer so far is returned. Throws the Error that ended it.
Answer generate(Engine& engine, Request request, const std::function<bool()>& interrupted,
                const std::function<void(std::string_view)>& print, const std::function<void(std::string_view)>& think);

}  // namespace autoglm
