// A segment's headers: read as they were written, or not at all.
#include "format/kv_segment.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace autoglm {
namespace {

SegmentHeader header() { return {.identity = {.low = 7, .high = 8}, .block_bytes = 999, .label = "glm4:9b"}; }

BlockRecord record() {
  BlockRecord made{.key = {.low = 1, .high = 2}, .before = {.low = 3, .high = 4}};
  for (size_t i = 0; i < made.tokens.size(); ++i) made.tokens[i] = static_cast<int32_t>(100 + i);
  return made;
}

TEST(KvSegment, HeaderThereAndBack) {
  const auto bytes = encode_segment_header(header());
  EXPECT_EQ(read_segment_header(bytes), header());
  SegmentHeader long_name = header();
  long_name.label.assign(1000, 'n');
  EXPECT_EQ(read_segment_header(encode_segment_header(long_name))->label, std::string(kMostSegmentLabel, 'n'));
}

TEST(KvSegment, ADamagedHeaderIsNone) {
  const auto bytes = encode_segment_header(header());
  for (size_t at = 0; at < bytes.size(); ++at) {
    auto damaged = bytes;
    damaged[at] ^= std::byte{0x40};
    EXPECT_FALSE(read_segment_header(damaged)) << at;
    EXPECT_FALSE(read_segment_header(std::span(bytes).first(at))) << at;
  }
}

// Whole, and yet nothing that this program wrote: each with its right hash.
TEST(KvSegment, AnotherVersionIsNone) {
  const auto with = [](size_t at, uint32_t value) {
    auto bytes = encode_segment_header(header());
    std::memcpy(bytes.data() + at, &value, sizeof value);
    const uint64_t hash = pack_piece_hash(std::span(bytes).first(bytes.size() - 8));
    std::memcpy(bytes.data() + bytes.size() - 8, &hash, sizeof hash);
    return read_segment_header(bytes);
  };
  EXPECT_TRUE(with(8, kKvSegmentVersion));
  EXPECT_FALSE(with(8, kKvSegmentVersion + 1));
  EXPECT_FALSE(with(0, 0));
  EXPECT_FALSE(with(12, 209)) << "a label longer than its place";
  EXPECT_FALSE(with(32, 0)) << "blocks of no bytes";
  EXPECT_FALSE(with(36, 0x7fffffff)) << "blocks of 9 exabytes";
}

TEST(KvSegment, RecordThereAndBack) {
  const std::vector<std::byte> block(999, std::byte{5});
  const auto bytes = encode_record_header(record(), block);
  const auto stored = read_record_header(bytes);
  ASSERT_TRUE(stored);
  EXPECT_EQ(stored->record, record());
  EXPECT_TRUE(is_whole(*stored, block));
  for (size_t at = 0; at < bytes.size(); ++at) {
    auto damaged = bytes;
    damaged[at] ^= std::byte{1};
    EXPECT_FALSE(read_record_header(damaged)) << at;
    EXPECT_FALSE(read_record_header(std::span(bytes).first(at))) << at;
  }
  for (size_t at = 0; at < block.size(); at += 37) {
    std::vector<std::byte> damaged = block;
    damaged[at] ^= std::byte{1};
    EXPECT_FALSE(is_whole(*stored, damaged)) << at;
  }
  EXPECT_FALSE(is_whole(*stored, std::span(block).first(998)));
  EXPECT_EQ(record_stride(999) % 64, 0);
  EXPECT_GE(record_stride(999), 999 + kRecordHeaderBytes);
}

}  // namespace
}  // namespace autoglm
