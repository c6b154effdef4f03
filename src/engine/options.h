// How a server's engine is set up by the settings table.
#pragma once

#include <string>
#include <vector>

#include "base/settings.h"
#include "engine/engine.h"

namespace autoglm {

/// batching.*, server.max_queue, server.target_itl, server.deadlines.*, kv_cache.prefix_cache, speculation. What was
/// asked for and has no effect is said in `notes`, a sentence each, in the settings' language.
EngineOptions serving_options(const Settings& settings, std::vector<std::string>& notes);

/// `run`, `chat`: one request at a time.
EngineOptions single_options(const Settings& settings);

}  // namespace autoglm
