// Runs the built program as a user would: arguments, standard input, environment; what it wrote and how it ended.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "support/temporary_folder.h"

namespace autoglm::test {

struct Outcome {
  int exit_code = -1;  // 128 + signal if it was killed
  std::string out;
  std::string err;
  bool timed_out = false;
  /// stdout as the one JSON object that --json promises.
  nlohmann::json json() const;
};

struct RunOptions {
  std::string in{};                        // standard input, then end of file
  std::vector<std::string> environment{};  // NAME=value, beside the test's own, of which no AUTOGLM_* is kept
  double seconds = 600;                    // a hang is a failure; sanitizers on a busy machine are not
  std::string interrupt_after{};           // SIGINT once stdout or stderr has this text
  std::function<void()> instead{};         // what to do then in place of SIGINT
  bool close_stdout = false;               // start without descriptor 1
  bool close_reader = false;               // stdout is a pipe that nobody reads
};

Outcome run_program(const std::vector<std::string>& arguments, const RunOptions& options = {});

/// The real model, and a tiny random one without a tokenizer.
std::string smollm2();
std::string tiny();

}  // namespace autoglm::test
