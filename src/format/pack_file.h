// A pack: the packed weights of one model in one file, so that the next start reads them instead of making them.
//
// Header (checked as a whole by its own hash), then, at a multiple of 2 MiB, the data: what the weights' memory holds,
// byte for byte. The data is hashed by pieces of 2 MiB, so that workers check what they read, in parallel, before it is
// used. A pack is written once and never changed: who wants another one renames it over this one.
// Numbers are little-endian. Layout of the header, after the 24 bytes that read_pack_header() checks first:
//   u64 data offset, u64 data bytes, hash of the sources' headers (2 u64), of their whole content (2 u64),
//   text layout, text precision, sources {text path, u64 device, u64 inode, i64 size, i64 modified_ns},
//   segments {text name, text layout, u64 offset, u64 bytes}, pieces {u64 hash}; a list begins with its u32 length,
//   a text too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/mmap.h"

namespace autoglm {

/// Of the container. What lies in the data is versioned by Backend::pack_layout().
inline constexpr uint32_t kPackFileVersion = 1;
/// Unit of hashing, reading and writing. A file system with large folios keeps what was written in one call as one huge
/// page of its cache, which is then mapped as one: for that the data begins at a multiple of it, too.
inline constexpr int64_t kPackPiece = int64_t{2} << 20;
inline constexpr int64_t kPackAlign = int64_t{2} << 20;

struct Hash128 {
  uint64_t low = 0;
  uint64_t high = 0;
  bool operator==(const Hash128&) const = default;
};

/// A tensor's place in the data.
struct PackSegment {
  std::string name;
  std::string layout;
  int64_t offset = 0;
  int64_t bytes = 0;
  bool operator==(const PackSegment&) const = default;
};

struct PackSource {
  std::string path;  // when it was packed; a file that was moved is still the same
  FileStamp stamp;
};

struct PackHeader {
  std::string layout;     // Backend::pack_layout()
  std::string precision;  // "auto", "f32"
  std::vector<PackSource> sources;
  Hash128 header_hash;   // of what stands before the tensors in each source
  Hash128 content_hash;  // of the sources' bytes: by pieces of a fixed size
  std::vector<PackSegment> segments;
  int64_t data_bytes = 0;
  std::vector<uint64_t> pieces;  // XXH3 of each kPackPiece of the data

  /// Whether both describe the same weights: all but paths and what is only known once they are packed.
  bool same_weights(const PackHeader& other) const;
  int64_t piece_count() const { return (data_bytes + kPackPiece - 1) / kPackPiece; }
  /// The bytes of piece `index`: the last one may be short.
  int64_t piece_bytes(int64_t index) const;
};

/// The header's bytes, and where the data begins behind them.
std::vector<std::byte> encode_pack_header(const PackHeader& header);
int64_t pack_data_offset(int64_t header_bytes);

/// Reads and checks a header. `bytes` begins with it (more may follow), `file_bytes` is the size of the whole file.
/// Errors: bad_file, saying what is wrong; `where` names the file in messages.
PackHeader read_pack_header(std::span<const std::byte> bytes, int64_t file_bytes, const std::string& where);

/// XXH3 of a piece.
uint64_t pack_piece_hash(std::span<const std::byte> piece);
Hash128 pack_hash(std::span<const std::byte> bytes);

/// An open pack. Its bytes stay readable when the file is removed or replaced.
class PackFile {
 public:
  /// Errors: bad_file (unreadable, cut, damaged header, another version).
  explicit PackFile(const std::filesystem::path& path);
  ~PackFile();
  PackFile(const PackFile&) = delete;
  PackFile& operator=(const PackFile&) = delete;

  const PackHeader& header() const { return header_; }
  int64_t data_offset() const { return data_offset_; }
  int64_t modified_ns() const { return stamp_.modified_ns; }
  /// Reads a piece (out has its size). False if it cannot be read or is not what was written. Thread-safe.
  bool read_piece(int64_t index, std::span<std::byte> out) const;
  /// Maps the data for reading; null where it cannot be. Nothing is checked yet. A file that is cut while it is mapped
  /// ends the process when it is read, as with any mapped file.
  std::shared_ptr<const std::byte> map() const;
  /// Makes a piece of the mapping resident and tells whether it is what was written. Thread-safe.
  bool check_piece(int64_t index, const std::byte* mapped) const;
  /// Remembers that it was used now (access time) or that its source was checked now (modification time). A file that
  /// belongs to somebody else stays as it is.
  void mark_used() const;
  void mark_checked() const;

 private:
  bool read(std::span<std::byte> out, int64_t offset) const;

  std::filesystem::path path_;
  int file_ = -1;
  FileStamp stamp_;
  PackHeader header_;
  int64_t data_offset_ = 0;
};

}  // namespace autoglm
