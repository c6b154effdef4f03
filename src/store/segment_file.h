// One segment of the prefix cache on disk: read by anybody, appended to by the one that holds its lock.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "format/kv_segment.h"

namespace autoglm {

/// read() is thread-safe; append() belongs to one thread.
class SegmentFile {
 public:
  /// A new file with a name of its own and mode 0600 (prompts can be told from what is in it), locked. Errors:
  /// disk_full, work_failed.
  static std::shared_ptr<SegmentFile> create(const std::filesystem::path& folder, const SegmentHeader& header);
  /// Null for what is not there, is no segment, or belongs to another user.
  static std::shared_ptr<SegmentFile> open(const std::filesystem::path& path);
  ~SegmentFile();
  SegmentFile(const SegmentFile&) = delete;
  SegmentFile& operator=(const SegmentFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::string name() const { return path_.filename().string(); }
  const SegmentHeader& header() const { return header_; }
  int64_t stride() const { return stride_; }
  int64_t bytes() const { return kSegmentHeaderBytes + records_ * stride_; }
  /// Whole records, by the file's size when it was opened and what was appended since.
  int64_t records() const { return records_; }

  /// Takes the lock of whoever appends; false while another process has it, or where it cannot be written. Given back
  /// with unlock() or the object.
  bool lock();
  void unlock() const;
  /// With the lock: appends go behind record `records` from now on.
  void keep_records(int64_t records) { records_ = records; }
  /// Returns the record's number. Errors: disk_full, work_failed; the file's records are then as before.
  int64_t append(const BlockRecord& record, std::span<const std::byte> block);
  /// The header of a record, if it is whole.
  std::optional<StoredRecord> read_header(int64_t number) const;
  /// The record and its block's bytes, if both are as they were written.
  std::optional<BlockRecord> read(int64_t number, std::span<std::byte> block) const;

 private:
  SegmentFile(std::filesystem::path path, int file, bool writable, SegmentHeader header);
  bool read_at(std::span<std::byte> out, int64_t offset) const;
  void write_at(std::span<const std::byte> bytes, int64_t offset) const;
  int64_t offset_of(int64_t number) const { return kSegmentHeaderBytes + number * stride_; }

  std::filesystem::path path_;
  int file_ = -1;
  bool writable_ = false;
  SegmentHeader header_;
  int64_t stride_ = 0;
  int64_t records_ = 0;
};

/// The segments in a folder with their sizes; those that nobody can read are among them.
std::vector<std::pair<std::filesystem::path, int64_t>> segments_in(const std::filesystem::path& folder);

/// Unlinks a segment, whole or not, to which nobody appends; who has it open can go on reading. False if it stays.
bool remove_segment(const std::filesystem::path& path);

}  // namespace autoglm
