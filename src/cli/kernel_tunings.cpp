#include "cli/kernel_tunings.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/log.h"
#include "cli/model_store.h"
#include "cli/tuned_settings.h"
#include "cli/version.h"
#include "hw/cpu.h"

namespace autoglm {

KernelKey kernel_key(const Runtime& runtime) {
  return {.cpu = cpu_model(),
          .isa = std::string(runtime.backend->name()),
          .threads = runtime.pool->size(),
          .version = fmt::format("{} {}", program_version(), program_commit())};
}

KernelTuning remembered_tuning(const Context& context, const Runtime& runtime) {
  if (!has_tuning_store(context)) return {};
  try {
    const auto store = open_tuning_store(context);
    return store ? store->find_kernels(kernel_key(runtime)) : KernelTuning{};
  } catch (const Error& error) {
    log(LogLevel::warn,
        fmt::format("the kernel tunings that are remembered are ignored ({}); autoglm tune writes them anew",
                    error.what()));
    return {};
  }
}

}  // namespace autoglm
