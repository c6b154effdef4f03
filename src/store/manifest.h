// What makes a folder of the store a model: its manifest, written last and atomically.
#pragma once

#include <filesystem>
#include <optional>

#include "store/store.h"

namespace autoglm {

/// The model in this folder if its manifest is valid and its file is there with the right size; else nothing.
std::optional<StoredModel> read_manifest(const std::filesystem::path& folder);

/// Errors: disk_full, bad_file.
void write_manifest(const std::filesystem::path& folder, const StoredModel& model);

/// Held while a folder is being filled; another process waits. The lock goes with the process.
class FileLock {
 public:
  explicit FileLock(const std::filesystem::path& path);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int file_ = -1;
};

}  // namespace autoglm
