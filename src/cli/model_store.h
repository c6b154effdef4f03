// The store as commands use it: where MODEL lies, fetching it if the user wants that.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "cli/command.h"
#include "store/store.h"

namespace autoglm {

/// Where this user's things lie, with --home and --cache-dir.
Places user_places(const Context& context);
/// The cache's alone; nothing where the environment does not say where.
std::optional<std::filesystem::path> cache_folder(const Context& context);

/// The store there.
Store open_store(const Context& context);

/// Progress on stderr, the licence question at a terminal, the memory limit, Ctrl-C.
PullOptions pull_options(const Context& context);

/// Where MODEL lies. A name that is not here is fetched as --pull says: ask (at a terminal), always, never.
/// Errors: as resolve_model and Store::pull; model_not_found with the command that fetches it.
std::filesystem::path locate_model(const Context& context, const std::string& name);

/// Memory that a model may take here: --memory-limit, else the cgroup's limit, else what the machine has.
int64_t memory_limit(const Context& context);

}  // namespace autoglm
