#include "base/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/file_kind.h"
#include "base/mapped_names.h"

namespace autoglm {
namespace {

constexpr size_t kBuffer = size_t{1} << 20;  // bytes gathered before a write

}  // namespace

std::filesystem::path check_output(const std::filesystem::path& path) {
  const std::string hint = "name the file to write, such as " + (path / "model.gguf").string();
  struct stat status{};
  if (path.empty() || path.filename().empty()) {
    fail(Code::bad_flag, "'" + path.string() + "' is not the name of a file", hint);
  }
  if (::stat(path.c_str(), &status) == 0) {
    // Renaming the finished file over a device would replace the device.
    if (!S_ISREG(status.st_mode)) {
      fail(Code::bad_flag, "'" + path.string() + "' is " + std::string(file_kind(status.st_mode)) + ", not a file",
           S_ISDIR(status.st_mode) ? hint : "name a file to write");
    }
    std::error_code unknown;
    const std::filesystem::path target = std::filesystem::canonical(path, unknown);
    return unknown ? path : target;
  }
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  if (::stat(folder.c_str(), &status) != 0 && (errno == ENOENT || errno == ENOTDIR)) {
    fail(Code::bad_flag, "cannot write '" + path.string() + "': there is no folder '" + folder.string() + "'",
         "make it first: mkdir -p " + folder.string());
  }
  return path;
}

OutputFile::OutputFile(const std::filesystem::path& path) : path_(check_output(path)), partial_(path_) {
  partial_.replace_filename("." + path_.filename().string() + ".partial-" + std::to_string(::getpid()));
  buffer_.reserve(kBuffer);
  ::unlink(partial_.c_str());  // left by a process of the same number that was killed
  file_ = ::open(partial_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (file_ < 0) refuse(errno);
}

OutputFile::~OutputFile() {
  if (file_ < 0) return;
  ::close(file_);
  ::unlink(partial_.c_str());
}

void OutputFile::refuse(int error) const {
  const std::string why = "cannot write " + path_.string() + ": " + std::strerror(error);
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) {
    fail(Code::disk_full, why, "free some space or write to another disk");
  }
  fail(Code::work_failed, why, error == EACCES ? "check the owner and mode of its folder" : "");
}

void OutputFile::write_now(std::span<const std::byte> data) {
  while (!data.empty()) {
    const ssize_t written = ::write(file_, data.data(), data.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      const int error = errno;
      // What the processor reports as SIGBUS, the system reports so.
      if (const char* source = mapping_at(data.data()); error == EFAULT && source != nullptr) {
        fail(Code::bad_model_file, cut_while_in_use(source), std::string(kCutHint));
      }
      refuse(error);
    }
    data = data.subspan(static_cast<size_t>(written));
  }
}

void OutputFile::write(std::span<const std::byte> data) {
  if (buffer_.size() + data.size() > kBuffer) {
    write_now(buffer_);
    buffer_.clear();
  }
  if (data.size() >= kBuffer) {
    write_now(data);
  } else {
    buffer_.insert(buffer_.end(), data.begin(), data.end());
  }
}

void OutputFile::finish() {
  write_now(buffer_);
  if (::fsync(file_) != 0 && errno != EINVAL && errno != ENOTSUP) refuse(errno);
  const int file = std::exchange(file_, -1);
  int error = ::close(file) == 0 ? 0 : errno;
  if (error == 0 && ::rename(partial_.c_str(), path_.c_str()) != 0) error = errno;
  if (error == 0) return;
  ::unlink(partial_.c_str());
  refuse(error);
}

}  // namespace autoglm
