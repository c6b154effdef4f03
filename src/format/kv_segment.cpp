#include "format/kv_segment.h"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <type_traits>

#include "base/error.h"

namespace autoglm {
namespace {

constexpr std::string_view kMagic = "AGLMKVSG";
constexpr uint32_t kRecordMark = 0x4b56'4231;
constexpr int64_t kMostBlockBytes = int64_t{1} << 30;

struct RawHeader {
  std::array<char, 8> magic{};
  uint32_t version = 0;
  uint32_t label_bytes = 0;
  Hash128 identity;
  int64_t block_bytes = 0;
  std::array<char, kMostSegmentLabel> label{};
  uint64_t hash = 0;
};
static_assert(sizeof(RawHeader) == kSegmentHeaderBytes && std::is_trivially_copyable_v<RawHeader>);

struct RawRecord {
  uint32_t mark = kRecordMark;
  uint32_t zero = 0;
  BlockRecord record;
  Hash128 content;
  uint64_t hash = 0;
};
static_assert(sizeof(RawRecord) == kRecordHeaderBytes && std::is_trivially_copyable_v<RawRecord>);

template <typename T>
uint64_t own_hash(const T& raw) {
  return pack_piece_hash(std::as_bytes(std::span(&raw, 1)).first(sizeof(T) - sizeof(uint64_t)));
}

template <typename T>
auto to_bytes(const T& raw) {
  std::array<std::byte, sizeof(T)> bytes;
  std::memcpy(bytes.data(), &raw, sizeof(T));
  return bytes;
}

template <typename T>
std::optional<T> from_bytes(std::span<const std::byte> bytes) {
  if (bytes.size() < sizeof(T)) return std::nullopt;
  T raw;
  std::memcpy(&raw, bytes.data(), sizeof(T));
  if (raw.hash != own_hash(raw)) return std::nullopt;
  return raw;
}

}  // namespace

int64_t record_stride(int64_t block_bytes) { return kRecordHeaderBytes + (block_bytes + 63) / 64 * 64; }

std::array<std::byte, kSegmentHeaderBytes> encode_segment_header(const SegmentHeader& header) {
  AUTOGLM_CHECK(header.block_bytes > 0 && header.block_bytes <= kMostBlockBytes, "a KV block of no sensible size");
  RawHeader raw;
  std::ranges::copy(kMagic, raw.magic.begin());
  raw.version = kKvSegmentVersion;
  raw.identity = header.identity;
  raw.block_bytes = header.block_bytes;
  raw.label_bytes = static_cast<uint32_t>(std::min(header.label.size(), kMostSegmentLabel));
  std::copy_n(header.label.begin(), raw.label_bytes, raw.label.begin());
  raw.hash = own_hash(raw);
  return to_bytes(raw);
}

std::optional<SegmentHeader> read_segment_header(std::span<const std::byte> bytes) {
  const auto raw = from_bytes<RawHeader>(bytes);
  if (!raw || std::string_view(raw->magic.data(), raw->magic.size()) != kMagic || raw->version != kKvSegmentVersion) {
    return std::nullopt;
  }
  if (raw->block_bytes <= 0 || raw->block_bytes > kMostBlockBytes || raw->label_bytes > kMostSegmentLabel) {
    return std::nullopt;
  }
  return SegmentHeader{.identity = raw->identity,
                       .block_bytes = raw->block_bytes,
                       .label = std::string(raw->label.data(), raw->label_bytes)};
}

std::array<std::byte, kRecordHeaderBytes> encode_record_header(const BlockRecord& record,
                                                               std::span<const std::byte> block) {
  RawRecord raw;
  raw.record = record;
  raw.content = pack_hash(block);
  raw.hash = own_hash(raw);
  return to_bytes(raw);
}

std::optional<StoredRecord> read_record_header(std::span<const std::byte> bytes) {
  const auto raw = from_bytes<RawRecord>(bytes);
  if (!raw || raw->mark != kRecordMark || raw->zero != 0) return std::nullopt;
  return StoredRecord{.record = raw->record, .content = raw->content};
}

bool is_whole(const StoredRecord& stored, std::span<const std::byte> block) {
  return pack_hash(block) == stored.content;
}

}  // namespace autoglm
