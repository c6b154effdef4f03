// A file that appears under its name only when it is whole.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <vector>

namespace autoglm {

/// Where a file of that name would be written: the path itself, or what it links to. For refusing early what cannot
/// work: Error bad_flag for a folder, a device, a pipe, or a folder above it that is not there.
std::filesystem::path check_output(const std::filesystem::path& path);

/// Usage: construct, write() pieces of any size, finish(). Until then the bytes lie in a hidden file beside it, which
/// is removed when the object is destroyed before finish() or when writing fails. A file of that name is replaced.
///
/// Errors: those of check_output(), disk_full, work_failed (no permission, a failure of the disk), bad_model_file (the
/// mapped file that the bytes come from was cut).
class OutputFile {
 public:
  explicit OutputFile(const std::filesystem::path& path);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write(std::span<const std::byte> data);
  /// Brings the file to the disk and under its name.
  void finish();

 private:
  void write_now(std::span<const std::byte> data);
  [[noreturn]] void refuse(int error) const;

  std::filesystem::path path_;
  std::filesystem::path partial_;
  std::vector<std::byte> buffer_;
  int file_ = -1;
};

}  // namespace autoglm
