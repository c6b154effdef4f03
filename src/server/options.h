// How a server is set up by the settings table.
#pragma once

#include "base/settings.h"
#include "engine/engine.h"
#include "server/server.h"

namespace autoglm {

/// server.*: `engine` says how many requests run at once. Errors: bad_flag for what cannot be honoured.
ServerOptions server_options(const Settings& settings, const EngineOptions& engine);

/// The model's name in the API where no alias is given: what the user called it, without folders and ".gguf".
std::string served_name(const std::string& model);

}  // namespace autoglm
