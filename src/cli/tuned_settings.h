// The settings that `autoglm tune` found here: what they are kept under, and how commands come to use them.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "cli/command.h"
#include "tune/tuning_store.h"

namespace autoglm {

/// The machine, as far as settings depend on it: CPU, cores, quota, memory, instruction sets. Another one is measured
/// anew.
std::string machine_key(const Context& context);

/// The model's files: names, sizes, times. A file that changes is another model.
std::string model_key(const std::filesystem::path& model);

/// "chat", or "file NAME HASH" of a JSONL file's bytes.
std::string workload_key(const std::string& workload);

TunedKey tuned_key(const Context& context, const std::filesystem::path& model, const std::string& workload,
                   const std::string& goal);

/// Whether anything was ever tuned here, and may be used: nobody who has tuned nothing pays for looking.
bool has_tuning_store(const Context& context);

/// Null with --no-cache, and where there is no place for a cache. Errors: work_failed.
std::unique_ptr<TuningStore> open_tuning_store(const Context& context);

/// Puts what was found for MODEL into the settings (origin machine: everything else goes before it), as --tuned and
/// --tuned-goal say, and notes it; notes too that there is nothing where one of them asked for it. Nothing happens
/// where the model is not here yet; a store that cannot be read is a warning.
void apply_tuned(Context& context);

}  // namespace autoglm
