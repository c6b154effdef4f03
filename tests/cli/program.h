// Runs the built program as a person would, and gives back what came out.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace autoglm {

struct ProgramRun {
  int exit_code = -1;  // 128 + signal if it was killed
  std::string out;
  std::string err;
  /// stdout as the one JSON object that --json promises (a test failure if it is not).
  nlohmann::json json() const;
};

struct ProgramOptions {
  std::vector<std::string> environment{};  // added to a clean one (PATH, HOME below a temporary folder, LANG=C)
  std::string input{};
  int interrupt_after_ms = -1;  // send SIGINT after this time
  bool close_stdout = false;    // start without descriptor 1
  bool close_reader = false;    // stdout is a pipe that nobody reads
};

ProgramRun run_autoglm(const std::vector<std::string>& arguments, const ProgramOptions& options = {});

}  // namespace autoglm
