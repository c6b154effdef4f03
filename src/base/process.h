// Runs another program (curl, pip) and waits for it, without a shell.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace autoglm {

struct ProcessResult {
  int exit_code = 0;  // 128 + signal if it was killed; 127 if it could not be started
  std::string out;    // its stdout, up to 64 MiB; more is discarded
  std::string err;    // the last 8 KiB of its stderr
};

struct ProcessOptions {
  std::string in;  // given on stdin (secrets travel here, never on the command line)
  /// Called about five times a second while it runs; returning false ends it (SIGTERM).
  std::function<bool()> tick;
};

/// argv[0] is looked up in PATH. Errors: work_failed if no process can be made.
ProcessResult run_process(const std::vector<std::string>& argv, const ProcessOptions& options = {});

/// Whether a program of this name is in PATH.
bool program_exists(const std::string& name);

}  // namespace autoglm
