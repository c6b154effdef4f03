// The header of a pack from anywhere: it is read or refused with an Error, and every tensor lies inside the data. The
// input stands behind a prefix that is made right, for a hash alone would refuse nearly all; what is read is written
// again and read once more.
#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <vector>

#include "base/error.h"
#include "format/pack_file.h"

namespace {

using autoglm::PackHeader;
using autoglm::PackSegment;

void read(std::span<const std::byte> bytes, int64_t file_bytes) {
  try {
    const PackHeader header = autoglm::read_pack_header(bytes, file_bytes, "fuzz");
    for (const PackSegment& segment : header.segments) {
      AUTOGLM_CHECK(segment.offset >= 0 && segment.bytes >= 0 && segment.offset + segment.bytes <= header.data_bytes,
                    "a tensor inside the data");
    }
    const std::vector<std::byte> again = autoglm::encode_pack_header(header);
    AUTOGLM_CHECK(autoglm::read_pack_header(again, file_bytes, "fuzz").same_weights(header), "the same weights again");
  } catch (const autoglm::Error&) {
  }
}

/// The file size that the header itself asks for.
int64_t announced(std::span<const std::byte> body) {
  std::array<int64_t, 2> numbers{};
  if (body.empty()) return 0;
  std::memcpy(numbers.data(), body.data(), std::min(body.size(), sizeof numbers));
  return numbers[0] > 0 && numbers[1] > 0 && numbers[0] < INT64_MAX - numbers[1] ? numbers[0] + numbers[1] : 0;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span input(reinterpret_cast<const std::byte*>(data), size);
  read(input, static_cast<int64_t>(size));
  constexpr size_t kPrefix = 24;
  // A whole header among the seeds begins with its own prefix.
  const auto body = size >= kPrefix && std::memcmp(data, "AGLMPACK", 8) == 0 ? input.subspan(kPrefix) : input;
  std::vector<std::byte> whole(kPrefix + body.size());
  std::memcpy(whole.data(), "AGLMPACK", 8);
  const uint32_t version = autoglm::kPackFileVersion;
  const auto bytes = static_cast<uint32_t>(whole.size());
  const uint64_t hash = autoglm::pack_piece_hash(body);
  std::memcpy(whole.data() + 8, &version, 4);
  std::memcpy(whole.data() + 12, &bytes, 4);
  std::memcpy(whole.data() + 16, &hash, 8);
  std::copy(body.begin(), body.end(), whole.begin() + kPrefix);
  read(whole, announced(body));
  return 0;
}
