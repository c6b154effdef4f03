#include "cli/kernel_tunings.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/log.h"
#include "cli/model_store.h"
#include "cli/version.h"
#include "hw/cpu.h"

namespace autoglm {

TuningKey tuning_key(const Runtime& runtime) {
  return {.cpu = cpu_model(),
          .isa = std::string(runtime.backend->name()),
          .threads = runtime.pool->size(),
          .version = fmt::format("{} {}", program_version(), program_commit())};
}

std::filesystem::path tuning_file(const Context& context, const Runtime& runtime) {
  return tuning_path(user_places(context).cache, tuning_key(runtime));
}

KernelTuning remembered_tuning(const Context& context, const Runtime& runtime) {
  const auto cache = cache_folder(context);
  if (!cache || !context.settings().boolean("cache.enabled")) return {};
  const std::filesystem::path path = tuning_path(*cache, tuning_key(runtime));
  try {
    return read_tuning(path, tuning_key(runtime));
  } catch (const Error& error) {
    log(LogLevel::warn, fmt::format("the kernel tunings in {} are ignored ({}); autoglm tune writes them anew",
                                    path.string(), error.what()));
    return {};
  }
}

}  // namespace autoglm
