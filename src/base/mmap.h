// A file mapped for reading.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace autoglm {

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

 private:
  std::span<const std::byte> bytes_;
};

/// Says that these bytes of a MappedFile are not needed for now: whole pages among them leave this process and come
/// back when they are read; the system's cache of the file keeps them. Never for other memory: its contents would be
/// lost.
void forget_pages(std::span<const std::byte> bytes);

}  // namespace autoglm
