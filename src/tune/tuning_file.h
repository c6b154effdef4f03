// Kernel tunings on disk: one small JSON file a machine, instruction set and number of threads, in the cache.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "kernels/tuning.h"

namespace autoglm {

/// What a tuning was measured with. It says nothing about anything else.
struct TuningKey {
  std::string cpu;  // cpu_model()
  std::string isa;
  int threads = 1;
  std::string version;  // of the program, whose kernels change
  bool operator==(const TuningKey&) const = default;
};

/// Where the tunings of this machine, instruction set and number of threads lie. A new version replaces the old one's.
std::filesystem::path tuning_path(const std::filesystem::path& cache, const TuningKey& key);

/// From the text of a file. Empty if it belongs to another key. Error bad_file, naming what is wrong, for anything that
/// write_tuning() does not write: a value out of its range too.
KernelTuning parse_tuning(std::string_view text, const TuningKey& key);

/// The file's tunings; empty if there is no file.
KernelTuning read_tuning(const std::filesystem::path& path, const TuningKey& key);

/// Replaces the file in one step. Errors: bad_file, disk_full.
void write_tuning(const std::filesystem::path& path, const TuningKey& key, const KernelTuning& tuning);

}  // namespace autoglm
