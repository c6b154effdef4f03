// A segment: KV blocks of one model in one file, as the prefix cache keeps them on disk.
//
// A header of 256 bytes, then records of one size: a header of 128 bytes, the block's bytes, zeros up to a multiple of
// 64. A file is only ever appended to, so what a crash leaves is whole records and perhaps one that is cut. Each header
// has a hash of itself, each record one of its block: what is not as it was written is not there.
// Numbers are little-endian, hashes XXH3.
//   header: "AGLMKVSG", u32 version, u32 length of the label, identity (2 u64), i64 bytes of a block, label; at 248 the
//     u64 hash of what stands before it
//   record: u32 mark, u32 0, key (2 u64), key of the block before (2 u64), 16 i32 tokens, hash of the block (2 u64),
//   u64
//     hash of what stands before it
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "format/pack_file.h"

namespace autoglm {

inline constexpr uint32_t kKvSegmentVersion = 2;  // 2: q8 keys are rotated
inline constexpr int64_t kSegmentHeaderBytes = 256;
inline constexpr int64_t kRecordHeaderBytes = 128;
inline constexpr int kRecordTokens = 16;
inline constexpr size_t kMostSegmentLabel = 208;

struct SegmentHeader {
  Hash128 identity;  // what the blocks' content depends on beside tokens
  int64_t block_bytes = 0;
  std::string label;  // the model's name, for people; cut to kMostSegmentLabel bytes
  bool operator==(const SegmentHeader&) const = default;
};

/// What a block holds: its tokens, under a key chained over all tokens before them.
struct BlockRecord {
  Hash128 key;
  Hash128 before;  // key of the block in front of it, or where every chain begins
  std::array<int32_t, kRecordTokens> tokens{};
  bool operator==(const BlockRecord&) const = default;
};

struct StoredRecord {
  BlockRecord record;
  Hash128 content;  // hash of the block's bytes
};

/// Bytes from one record to the next.
int64_t record_stride(int64_t block_bytes);

std::array<std::byte, kSegmentHeaderBytes> encode_segment_header(const SegmentHeader& header);
/// Nothing for what is cut, damaged, of another version or no segment at all.
std::optional<SegmentHeader> read_segment_header(std::span<const std::byte> bytes);

std::array<std::byte, kRecordHeaderBytes> encode_record_header(const BlockRecord& record,
                                                               std::span<const std::byte> block);
std::optional<StoredRecord> read_record_header(std::span<const std::byte> bytes);
/// Whether these are the bytes that were written.
bool is_whole(const StoredRecord& stored, std::span<const std::byte> block);

}  // namespace autoglm
