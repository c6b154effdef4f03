// Single rows read from a large table in a file, such as a table of token embeddings.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

#include "base/mmap.h"

namespace autoglm {

/// Reads bytes of a file into memory of its own. A mapping would become resident around every byte that is touched:
/// at least 64 KiB, and since Linux 6.18 the whole large folio of the system's cache, up to 2 MiB.
class RowReads {
 public:
  RowReads() = default;  // of nothing
  /// Opens the file again. Not active() if it cannot be opened, or is not the one of this stamp any more.
  RowReads(const std::filesystem::path& path, const FileStamp& stamp);
  ~RowReads();
  RowReads(RowReads&& other) noexcept;
  RowReads& operator=(RowReads&& other) noexcept;

  bool active() const { return file_ >= 0; }
  /// Error bad_model_file if the file was cut or its disk failed.
  void read(int64_t offset, std::span<std::byte> to) const;

 private:
  std::filesystem::path path_;
  int file_ = -1;
};

}  // namespace autoglm
