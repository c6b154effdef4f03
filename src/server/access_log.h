// One line of JSON a request: who, what, how it ended, how long it took. Never what was asked or answered.
#pragma once

#include <filesystem>
#include <string>

#include "server/http_message.h"

namespace autoglm {

/// Used by one thread.
class AccessLog {
 public:
  /// Appends to a file; "-": to stderr; empty: nowhere. Error bad_file if it cannot be opened.
  explicit AccessLog(std::string path);
  ~AccessLog();
  AccessLog(const AccessLog&) = delete;
  AccessLog& operator=(const AccessLog&) = delete;

  /// Opens the file again, for whoever rotates it. Stays with the old one if that fails.
  void reopen();
  /// `trace`: the id of its trace; empty: none.
  void write(const HttpRequest& request, const HttpOutcome& outcome, const std::string& trace) const;

 private:
  std::string path_;
  int descriptor_ = -1;
};

}  // namespace autoglm
