// A file mapped for reading.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>

namespace autoglm {

/// What tells a file from every other, and from itself after a change (one that sets the time back excepted).
struct FileStamp {
  uint64_t device = 0;
  uint64_t inode = 0;
  int64_t size = 0;
  int64_t modified_ns = 0;  // since 1970
  bool operator==(const FileStamp&) const = default;
};

/// The stamp of an open file, or of what lies at a path now. Nothing if it cannot be had.
std::optional<FileStamp> stamp_of(int descriptor);
std::optional<FileStamp> stamp_of(const std::filesystem::path& path);

/// Read-only, private mapping of a regular file. Move-only; unmapped at destruction.
/// Errors: model_not_found (no such path), bad_file (folder, device, pipe, no permission), always naming the path.
/// Reading what somebody has cut off since ends in SIGBUS: mapped_names.h tells whose.
class MappedFile {
 public:
  MappedFile() = default;
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  std::span<const std::byte> bytes() const { return bytes_; }
  /// Of the file that is mapped, whatever lies at its path by now.
  const FileStamp& stamp() const { return stamp_; }

 private:
  std::span<const std::byte> bytes_;
  FileStamp stamp_;
};

/// Says that these bytes of a MappedFile are not needed for now: whole pages among them leave this process and come
/// back when they are read; the system's cache of the file keeps them. Never for other memory: its contents would be
/// lost.
void forget_pages(std::span<const std::byte> bytes);

}  // namespace autoglm
