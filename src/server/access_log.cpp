#include "server/access_log.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "server/api/fields.h"

namespace autoglm {
namespace {

int open_log(const std::string& path) { return ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640); }

std::string timestamp() {
  const auto now = std::chrono::system_clock::now();
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count();
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(static_cast<std::time_t>(ms / 1000)), ms % 1000);
}

}  // namespace

AccessLog::AccessLog(std::string path) : path_(std::move(path)) {
  if (path_.empty()) return;
  descriptor_ = path_ == "-" ? STDERR_FILENO : open_log(path_);
  if (descriptor_ < 0) {
    fail(Code::bad_file, fmt::format("the access log {} cannot be written: {}", path_, std::strerror(errno)),
         "give a file that this user may append to, or - for stderr");
  }
}

AccessLog::~AccessLog() {
  if (descriptor_ > STDERR_FILENO) ::close(descriptor_);
}

void AccessLog::reopen() {
  if (descriptor_ <= STDERR_FILENO) return;
  const int fresh = open_log(path_);
  if (fresh < 0) {
    log(LogLevel::warn, fmt::format("the access log was not opened again: {}", std::strerror(errno)));
    return;
  }
  ::close(std::exchange(descriptor_, fresh));
}

void AccessLog::write(const HttpRequest& request, const HttpOutcome& outcome, const std::string& trace) const {
  if (descriptor_ < 0) return;
  Json line = Json::object();
  line["time"] = timestamp();
  line["id"] = request.id;
  line["remote"] = request.remote;
  line["method"] = request.method;
  line["path"] = request.path.substr(0, 200);
  line["status"] = outcome.status;
  line["ms"] = std::round(outcome.seconds * 1e6) / 1e3;
  line["bytes"] = outcome.bytes;
  line["streamed"] = outcome.streamed;
  if (!request.client.empty()) line["client"] = request.client;
  if (!trace.empty()) line["trace"] = trace;
  const std::string text = to_text(line) + "\n";
  // A full disk must not end requests; the line is lost.
  [[maybe_unused]] const ssize_t ignored = ::write(descriptor_, text.data(), text.size());
}

}  // namespace autoglm
