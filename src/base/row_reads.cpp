#include "base/row_reads.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/mapped_names.h"

namespace autoglm {

RowReads::RowReads(const std::filesystem::path& path, const FileStamp& stamp) : path_(path) {
  file_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (file_ >= 0 && stamp_of(file_) != stamp) ::close(std::exchange(file_, -1));
}

RowReads::~RowReads() {
  if (file_ >= 0) ::close(file_);
}

RowReads::RowReads(RowReads&& other) noexcept : path_(std::move(other.path_)), file_(std::exchange(other.file_, -1)) {}

RowReads& RowReads::operator=(RowReads&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(file_, other.file_);
  return *this;
}

void RowReads::read(int64_t offset, std::span<std::byte> to) const {
  AUTOGLM_CHECK(active(), "rows are read from a file that was opened");
  while (!to.empty()) {
    const ssize_t got = ::pread(file_, to.data(), to.size(), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) fail(Code::bad_model_file, cut_while_in_use(path_.string()), std::string(kCutHint));
    to = to.subspan(static_cast<size_t>(got));
    offset += got;
  }
}

}  // namespace autoglm
