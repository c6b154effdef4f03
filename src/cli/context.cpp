#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "cli/command.h"

namespace autoglm {

const std::string& Context::argument(std::string_view name) const {
  static const std::string none;
  for (const auto& [key, value] : arguments_) {
    if (key == name) return value;
  }
  return none;
}

bool Context::has_argument(std::string_view name) const {
  for (const auto& [key, value] : arguments_) {
    if (key == name) return true;
  }
  return false;
}

void Context::set_argument(std::string_view name, std::string value) {
  arguments_.emplace_back(name, std::move(value));
}

void Context::print(std::string_view text) const {
  // Straight to the descriptor: a token is seen when it is made, and an error belongs to the text that met it.
  while (!text.empty()) {
    const ssize_t written = ::write(STDOUT_FILENO, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<size_t>(written));
      continue;
    }
    const int error = errno;
    if (error == EINTR) {
      interrupt_.check();
    } else if (error == EAGAIN) {
      pollfd ready{STDOUT_FILENO, POLLOUT, 0};
      ::poll(&ready, 1, 1000);
      interrupt_.check();
    } else if (error == EPIPE) {
      throw OutputClosed{};
    } else {
      fail(error == ENOSPC ? Code::disk_full : Code::work_failed,
           std::string("cannot write to stdout: ") + std::strerror(error),
           error == ENOSPC ? "free some space on that disk" : "");
    }
  }
}

void Context::print_json(const nlohmann::json& object) const {
  print(object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

void Context::note(std::string_view text) const {
  if (quiet()) return;
  const std::string line = std::string(text) + "\n";
  // stderr may be closed: there is nobody to tell.
  [[maybe_unused]] const ssize_t ignored = ::write(STDERR_FILENO, line.data(), line.size());
}

Progress Context::progress(std::string label, int64_t total, bool bytes) const {
  return {!quiet() && ::isatty(STDERR_FILENO) == 1, std::move(label), total, bytes};
}

}  // namespace autoglm
