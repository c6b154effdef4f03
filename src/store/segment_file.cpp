#include "store/segment_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <random>

#include "base/error.h"

namespace autoglm {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kEnding = ".kv";

[[noreturn]] void refuse(const fs::path& path, int error) {
  const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
  fail(full ? Code::disk_full : Code::work_failed, "cannot write " + path.string() + ": " + std::strerror(error));
}

// Some disks have no locks.
bool lock_file(int file) { return ::flock(file, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK; }

}  // namespace

SegmentFile::SegmentFile(fs::path path, int file, bool writable, SegmentHeader header)
    : path_(std::move(path)),
      file_(file),
      writable_(writable),
      header_(std::move(header)),
      stride_(record_stride(header_.block_bytes)) {}

SegmentFile::~SegmentFile() { ::close(file_); }

std::shared_ptr<SegmentFile> SegmentFile::create(const fs::path& folder, const SegmentHeader& header) {
  std::random_device random;
  while (true) {
    const uint64_t number = (uint64_t{random()} << 32) | random();
    const fs::path path = folder / fmt::format("{:016x}-{:016x}{}", header.identity.low, number, kEnding);
    const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0 && errno == EEXIST) continue;
    if (file < 0) refuse(path, errno);
    std::shared_ptr<SegmentFile> made(new SegmentFile(path, file, true, header));
    if (!made->lock()) continue;  // somebody who makes room has just taken it for a leftover
    try {
      made->write_at(encode_segment_header(header), 0);
    } catch (...) {
      ::unlink(path.c_str());
      throw;
    }
    return made;
  }
}

std::shared_ptr<SegmentFile> SegmentFile::open(const fs::path& path) {
  constexpr int kFlags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
  int file = ::open(path.c_str(), O_RDWR | kFlags);
  const bool writable = file >= 0;
  if (!writable) file = ::open(path.c_str(), O_RDONLY | kFlags);
  if (file < 0) return nullptr;
  std::shared_ptr<SegmentFile> opened(new SegmentFile(path, file, writable, {}));
  struct stat status{};
  std::array<std::byte, kSegmentHeaderBytes> bytes{};
  if (::fstat(file, &status) != 0 || !S_ISREG(status.st_mode) || status.st_uid != ::geteuid()) return nullptr;
  if (!opened->read_at(bytes, 0)) return nullptr;
  std::optional<SegmentHeader> header = read_segment_header(bytes);
  if (!header) return nullptr;
  opened->header_ = std::move(*header);
  opened->stride_ = record_stride(opened->header_.block_bytes);
  opened->records_ = std::max<int64_t>(0, status.st_size - kSegmentHeaderBytes) / opened->stride_;
  return opened;
}

bool SegmentFile::lock() {
  struct stat status{};
  if (!writable_ || !lock_file(file_)) return false;
  if (::fstat(file_, &status) != 0 || status.st_nlink == 0) return false;
  records_ = std::max<int64_t>(0, status.st_size - kSegmentHeaderBytes) / stride_;  // who had it may have appended
  return true;
}

void SegmentFile::unlock() const { ::flock(file_, LOCK_UN); }

bool SegmentFile::read_at(std::span<std::byte> out, int64_t offset) const {
  while (!out.empty()) {
    const ssize_t got = ::pread(file_, out.data(), out.size(), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    out = out.subspan(static_cast<size_t>(got));
    offset += got;
  }
  return true;
}

void SegmentFile::write_at(std::span<const std::byte> bytes, int64_t offset) const {
  while (!bytes.empty()) {
    const ssize_t put = ::pwrite(file_, bytes.data(), bytes.size(), offset);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) refuse(path_, put < 0 ? errno : ENOSPC);
    bytes = bytes.subspan(static_cast<size_t>(put));
    offset += put;
  }
}

// The record's header last: it makes the record one.
int64_t SegmentFile::append(const BlockRecord& record, std::span<const std::byte> block) {
  AUTOGLM_CHECK(std::ssize(block) == header_.block_bytes, "a KV block of the wrong size");
  const int64_t at = offset_of(records_);
  constexpr std::array<std::byte, 64> kZeros{};
  const auto padding = static_cast<size_t>(stride_ - kRecordHeaderBytes - header_.block_bytes);
  try {
    write_at(block, at + kRecordHeaderBytes);
    write_at(std::span(kZeros).first(padding), at + kRecordHeaderBytes + header_.block_bytes);
    write_at(encode_record_header(record, block), at);
  } catch (...) {
    if (::ftruncate(file_, at) != 0) throw;  // what is left of the record is no record
    throw;
  }
  return records_++;
}

std::optional<StoredRecord> SegmentFile::read_header(int64_t number) const {
  std::array<std::byte, kRecordHeaderBytes> bytes{};
  if (!read_at(bytes, offset_of(number))) return std::nullopt;
  return read_record_header(bytes);
}

std::optional<BlockRecord> SegmentFile::read(int64_t number, std::span<std::byte> block) const {
  const std::optional<StoredRecord> stored = read_header(number);
  if (!stored || !read_at(block, offset_of(number) + kRecordHeaderBytes)) return std::nullopt;
  if (!is_whole(*stored, block)) return std::nullopt;
  return stored->record;
}

std::vector<std::pair<fs::path, int64_t>> segments_in(const fs::path& folder) {
  std::vector<std::pair<fs::path, int64_t>> found;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    std::error_code gone;
    const auto bytes = static_cast<int64_t>(it->file_size(gone));
    if (!gone && it->path().extension() == kEnding) found.emplace_back(it->path(), bytes);
  }
  return found;
}

bool remove_segment(const fs::path& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
  if (file < 0 && errno != EACCES) return errno == ENOENT;
  // Where there is no file to lock it is another user's, who alone can unlink it in a shared folder.
  const bool removed = (file < 0 || lock_file(file)) && ::unlink(path.c_str()) == 0;
  if (file >= 0) ::close(file);
  return removed;
}

}  // namespace autoglm
