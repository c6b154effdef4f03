// What `tune` has found: an SQLite file in the cache. Of settings one row a machine, model, workload, goal and version,
// of kernels one a CPU, instruction set, number of threads and shape.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kernels/tuning.h"

struct sqlite3;

namespace autoglm {

/// What a result was measured with. It says nothing about anything else.
struct TunedKey {
  std::string machine;  // machine_key()
  std::string model;    // model_key()
  std::string version;  // of the program
  std::string workload;
  std::string goal;
};

struct TunedResult {
  std::vector<std::pair<std::string, std::string>> settings;  // key and value, where they differ from the default
  double gain = 1;                                            // the default's cost by theirs
  double gain_low = 1, gain_high = 1;                         // its interval
  int64_t measurements = 0;
  int64_t measured_at = 0;     // seconds since 1970
  std::string workload, goal;  // out: whose result it is
};

/// What tunings of kernels were measured with. They say nothing about anything else.
struct KernelKey {
  std::string cpu;  // cpu_model()
  std::string isa;
  int threads = 1;
  std::string version;  // of the program, whose kernels change
};

/// Belongs to one thread. Every call may throw Error work_failed (a locked, damaged or full database), with which what
/// was there stays.
class TuningStore {
 public:
  /// Makes the file where there is none, with mode 0600. One of another version is emptied.
  explicit TuningStore(const std::filesystem::path& file);
  ~TuningStore();
  TuningStore(const TuningStore&) = delete;
  TuningStore& operator=(const TuningStore&) = delete;

  void put(const TunedKey& key, const TunedResult& result);
  /// The newest result; an empty workload or goal: any; "file": of any file. A result with a setting that is not in the
  /// table, that `tune` may not change or whose value the table does not take is as if it were not there.
  std::optional<TunedResult> find(const TunedKey& key) const;

  /// Replaces all that was kept for this CPU, instruction set and number of threads, that of other versions too.
  void put_kernels(const KernelKey& key, const KernelTuning& tuning);
  /// Empty if there is nothing for this key. Error bad_file, naming it, for a value out of its range.
  KernelTuning find_kernels(const KernelKey& key) const;

 private:
  struct Closer {
    void operator()(sqlite3* db) const;
  };
  std::filesystem::path file_;
  std::unique_ptr<sqlite3, Closer> db_;
};

/// Where it lies below the cache.
std::filesystem::path tuning_store_path(const std::filesystem::path& cache);

}  // namespace autoglm
