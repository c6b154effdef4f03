#include "store/pack_writer.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <random>
#include <string>
#include <utility>

#include "base/error.h"

namespace autoglm {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kEnding = ".part";

std::string hidden_prefix(const fs::path& path) { return "." + path.filename().string() + "-"; }

/// A new hidden file that is locked for as long as it is open, and removed unless it was renamed.
class HiddenFile {
 public:
  explicit HiddenFile(const fs::path& path) : target_(path) {
    while (!create()) {
    }
  }
  ~HiddenFile() {
    if (!renamed_) ::unlink(path_.c_str());
    ::close(file_);
  }
  HiddenFile(const HiddenFile&) = delete;
  HiddenFile& operator=(const HiddenFile&) = delete;

  const fs::path& path() const { return path_; }

  /// Takes the space at once where the disk can: what does not fit is known before anything is written.
  void reserve(int64_t bytes) const {
    if (::fallocate(file_, 0, 0, bytes) != 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)) refuse(errno);
  }

  void write(std::span<const std::byte> bytes, int64_t offset) const {
    while (!bytes.empty()) {
      const ssize_t put = ::pwrite(file_, bytes.data(), bytes.size(), offset);
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) refuse(errno);
      bytes = bytes.subspan(static_cast<size_t>(put));
      offset += put;
    }
  }

  void sync() const {
    if (::fsync(file_) != 0) refuse(errno);
  }

  void rename() {
    if (::rename(path_.c_str(), target_.c_str()) != 0) refuse(errno);
    renamed_ = true;
    const int folder = ::open(target_.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) return;  // the pack is there; only its name may be lost with the power
    ::fsync(folder);
    ::close(folder);
  }

 private:
  // False if it was taken for a leftover before it was locked.
  bool create() {
    std::random_device random;
    path_ = target_.parent_path() / (hidden_prefix(target_) + std::to_string(::getpid()) + "-" +
                                     std::to_string(random()) + std::string(kEnding));
    file_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file_ < 0) refuse(errno);
    const bool taken = ::flock(file_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;  // some disks have no locks
    struct stat status{};
    if (!taken && (::fstat(file_, &status) != 0 || status.st_nlink > 0)) return true;
    ::close(std::exchange(file_, -1));
    return false;
  }

  [[noreturn]] void refuse(int error) const {
    const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
    fail(full ? Code::disk_full : Code::work_failed, "cannot write " + target_.string() + ": " + std::strerror(error));
  }

  fs::path target_;
  fs::path path_;
  int file_ = -1;
  bool renamed_ = false;
};

}  // namespace

bool write_pack(PackHeader& header, std::span<const std::byte> data, const fs::path& path,
                const std::function<bool()>& stop, const std::function<void(const fs::path&)>& before_rename) {
  header.pieces.assign(static_cast<size_t>(header.piece_count()), 0);
  const int64_t data_offset = pack_data_offset(std::ssize(encode_pack_header(header)));
  HiddenFile file(path);
  file.reserve(data_offset + header.data_bytes);
  for (int64_t piece = 0; piece < header.piece_count(); ++piece) {
    if (stop()) return false;
    const auto bytes =
        data.subspan(static_cast<size_t>(piece * kPackPiece), static_cast<size_t>(header.piece_bytes(piece)));
    header.pieces[static_cast<size_t>(piece)] = pack_piece_hash(bytes);
    file.write(bytes, data_offset + piece * kPackPiece);
  }
  file.write(encode_pack_header(header), 0);
  file.sync();
  if (stop()) return false;
  if (before_rename) before_rename(file.path());
  file.rename();
  return true;
}

bool remove_leftovers(const fs::path& folder, const fs::path& path) {
  bool being_written = false;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (!name.starts_with('.') || !name.ends_with(kEnding)) continue;
    const int file = ::open(it->path().c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    if (file < 0) continue;
    if (::flock(file, LOCK_EX | LOCK_NB) == 0) {
      ::unlink(it->path().c_str());  // its writer has ended: the lock went with it
    } else if (name.starts_with(hidden_prefix(path))) {
      being_written = true;
    }
    ::close(file);
  }
  return being_written;
}

}  // namespace autoglm
