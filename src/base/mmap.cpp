#include "base/mmap.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/file_kind.h"
#include "base/mapped_names.h"

namespace autoglm {
namespace {

[[noreturn]] void refuse(const std::filesystem::path& path, int error) {
  const std::string name = "'" + path.string() + "'";
  if (error == ENOENT || error == ENOTDIR) {
    fail(Code::model_not_found, "there is no file " + name, "check the path; `autoglm list` shows the models here");
  }
  if (error == EACCES || error == EPERM) {
    fail(Code::bad_file, "no permission to read " + name, "check its owner and mode: ls -l " + path.string());
  }
  fail(Code::bad_file, "cannot read " + name + ": " + std::strerror(error));
}

void check_regular(const std::filesystem::path& path, const struct stat& status) {
  if (!S_ISREG(status.st_mode)) {
    fail(Code::bad_file, "'" + path.string() + "' is " + std::string(file_kind(status.st_mode)) + ", not a file",
         "give the name of a file");
  }
}

FileStamp stamp_from(const struct stat& status) {
  return {.device = status.st_dev,
          .inode = status.st_ino,
          .size = status.st_size,
          .modified_ns = int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec};
}

struct Descriptor {
  int value = -1;
  ~Descriptor() {
    if (value >= 0) ::close(value);
  }
};

}  // namespace

std::optional<FileStamp> stamp_of(int descriptor) {
  struct stat status{};
  if (::fstat(descriptor, &status) != 0) return std::nullopt;
  return stamp_from(status);
}

std::optional<FileStamp> stamp_of(const std::filesystem::path& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return std::nullopt;
  return stamp_from(status);
}

MappedFile::MappedFile(const std::filesystem::path& path) {
  struct stat status{};
  // Looked at before it is opened: opening a device can have effects, and opening a pipe waits for a writer.
  if (::stat(path.c_str(), &status) != 0) refuse(path, errno);
  check_regular(path, status);
  Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)};
  if (file.value < 0) refuse(path, errno);
  if (::fstat(file.value, &status) != 0) refuse(path, errno);
  check_regular(path, status);
  stamp_ = stamp_from(status);
  if (status.st_size == 0) return;  // mmap refuses length 0; an empty span says the same
  const auto size = static_cast<size_t>(status.st_size);
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.value, 0);
  if (address == MAP_FAILED) refuse(path, errno);
  bytes_ = {static_cast<const std::byte*>(address), size};
  name_mapping(bytes_, path.string());
}

MappedFile::~MappedFile() {
  if (bytes_.empty()) return;
  forget_mapping(bytes_.data());
  ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

MappedFile::MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})), stamp_(other.stamp_) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  std::swap(stamp_, other.stamp_);
  return *this;
}

void forget_pages(std::span<const std::byte> bytes) {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto first = reinterpret_cast<uintptr_t>(bytes.data());
  const uintptr_t begin = (first + page - 1) / page * page;
  const uintptr_t end = (first + bytes.size()) / page * page;
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

}  // namespace autoglm
