// A segment of the prefix cache from anywhere: every header is read or refused, and what is read is what would be
// written for it. The input is taken as it is, and once more with every hash made right, for a hash alone would refuse
// nearly all.
#include <algorithm>
#include <cstring>
#include <span>
#include <vector>

#include "base/error.h"
#include "format/kv_segment.h"

namespace {

using autoglm::kRecordHeaderBytes;
using autoglm::kSegmentHeaderBytes;

constexpr int64_t kMostBlock = 4096;  // records further apart than any input is long are not looked for

void read(std::span<const std::byte> bytes) {
  const auto header = autoglm::read_segment_header(bytes);
  if (!header) return;
  AUTOGLM_CHECK(header->block_bytes > 0 && header->label.size() <= autoglm::kMostSegmentLabel, "a sensible header");
  AUTOGLM_CHECK(autoglm::read_segment_header(autoglm::encode_segment_header(*header)) == header,
                "the same header again");
  if (header->block_bytes > kMostBlock) return;
  const int64_t stride = autoglm::record_stride(header->block_bytes);
  for (int64_t at = kSegmentHeaderBytes; at + stride <= std::ssize(bytes); at += stride) {
    const auto record = bytes.subspan(static_cast<size_t>(at), static_cast<size_t>(stride));
    const auto stored = autoglm::read_record_header(record);
    if (!stored) return;
    const auto block = record.subspan(kRecordHeaderBytes, static_cast<size_t>(header->block_bytes));
    const auto again = autoglm::read_record_header(autoglm::encode_record_header(stored->record, block));
    AUTOGLM_CHECK(again && again->record == stored->record, "the same record again");
    AUTOGLM_CHECK(autoglm::is_whole(*again, block), "a record of these very bytes");
    AUTOGLM_CHECK(autoglm::is_whole(*stored, block) == (stored->content == again->content), "whole or not");
  }
}

void make_right(std::span<std::byte> header) {
  const auto body = header.first(header.size() - sizeof(uint64_t));
  const uint64_t hash = autoglm::pack_piece_hash(body);
  std::memcpy(header.data() + body.size(), &hash, sizeof hash);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span input(reinterpret_cast<const std::byte*>(data), size);
  read(input);
  std::vector<std::byte> bytes(input.begin(), input.end());
  bytes.resize(std::max<size_t>(bytes.size(), kSegmentHeaderBytes));
  make_right(std::span(bytes).first(kSegmentHeaderBytes));
  if (const auto header = autoglm::read_segment_header(bytes); header && header->block_bytes <= kMostBlock) {
    const int64_t stride = autoglm::record_stride(header->block_bytes);
    for (int64_t at = kSegmentHeaderBytes; at + kRecordHeaderBytes <= std::ssize(bytes); at += stride) {
      make_right(std::span(bytes).subspan(static_cast<size_t>(at), kRecordHeaderBytes));
    }
  }
  read(bytes);
  return 0;
}
