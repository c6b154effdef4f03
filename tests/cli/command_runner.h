// Runs the built program as a user would: arguments, standard input, environment; what it wrote and how it ended.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

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
  std::vector<std::string> environment{};  // NAME=value, beside the test's own
  double seconds = 120;                    // a hang is a failure, not a wait
  std::string interrupt_after{};           // SIGINT once stdout or stderr has this text
};

Outcome run_program(const std::vector<std::string>& arguments, const RunOptions& options = {});

/// The real model, and a tiny random one without a tokenizer.
std::string smollm2();
std::string tiny();

/// A folder that is removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  /// Writes a file and returns its path.
  std::string file(const std::string& name, const std::string& content) const;

 private:
  std::filesystem::path path_;
};

}  // namespace autoglm::test
