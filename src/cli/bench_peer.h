// `bench --peer PROGRAM`: a llama-bench, or anything that takes its arguments and prints its JSON, measured between our
// own rounds.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "cli/bench_run.h"

namespace autoglm {

class Peer {
 public:
  Peer(std::string program, const std::filesystem::path& model, const BenchShape& shape, int threads);
  /// One repetition. Error work_failed with what the program said.
  void repeat();
  /// {name, version, prefill_tps, decode_tps}: medians; null where nothing was measured.
  nlohmann::json report() const;

 private:
  std::string program_;
  std::vector<std::string> command_;
  std::string version_;
  std::vector<double> prefill_;
  std::vector<double> decode_;
};

}  // namespace autoglm
