// Packs on disk are the packed bytes as they are, so bytes that change need another kPackVersion: a program that reads
// a pack of the former version as its own would compute nonsense.
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <set>

#include "cpu_support.h"
#include "format/pack_file.h"
#include "kernels/cpu/pack.h"

namespace autoglm {
namespace {

struct Known {
  std::string_view version;
  uint64_t content;
};

// The last line is the present one. Never change a line that has been released: add one.
constexpr Known kKnown[] = {
    {"panel32-1", 0xcd0508f7cb5c90d9},
    {"panel32-2", 0xd2650db006a1bf50},
    {"panel32-3", 0x45f01f8dd21bbbe3},  // one type more
};

/// Bytes that are the same everywhere, valid as blocks of any type: no NaN, no infinite scale.
std::vector<std::byte> fixed_bytes(size_t size) {
  std::vector<std::byte> bytes(size);
  uint32_t state = 1;
  for (std::byte& byte : bytes) {
    state = state * 1664525 + 1013904223;
    byte = static_cast<std::byte>(state >> 24) & std::byte{0xbb};  // as a float's upper half: an exponent not all ones
  }
  return bytes;
}

/// Of the packed bytes of a tiny weight of every type, in both precisions, and of the names of their layouts.
uint64_t content_now() {
  WorkerPool pool(PoolOptions{.threads = 1, .cpus = {}, .spin_microseconds = 0});
  const auto backend = make_backend("generic", pool);
  std::vector<uint64_t> hashes;
  std::vector<Type> types = test::quantized_types();
  types.insert(types.end(), {Type::f32, Type::f16, Type::bf16});
  for (const Type type : types) {
    for (const Precision precision : {Precision::automatic, Precision::f32}) {
      constexpr int64_t kCount = 2, kRows = 37, kCols = 256;  // a panel and a part of one
      const auto bytes = fixed_bytes(static_cast<size_t>(kCount * kRows * row_bytes(type, kCols)));
      const WeightSource source{
          .name = "w", .type = type, .count = kCount, .rows = kRows, .cols = kCols, .data = bytes};
      Pages out(backend->weight_bytes(source, precision));
      const std::span packed(reinterpret_cast<std::byte*>(out.data()), static_cast<size_t>(out.size()));
      backend->pack(source, precision, packed);
      const std::string layout(backend->layout(source, precision));
      EXPECT_TRUE(precision == Precision::f32 || layout != "mapped") << info(type).name << " is not packed";
      hashes.push_back(pack_piece_hash(packed));
      hashes.push_back(pack_piece_hash(std::as_bytes(std::span(layout))));
    }
  }
  return pack_piece_hash(std::as_bytes(std::span(hashes)));
}

TEST(PackVersion, ChangesWithThePackedBytes) {
  const Known& last = kKnown[std::size(kKnown) - 1];
  const uint64_t now = content_now();
  std::array<char, 32> hex{};
  std::snprintf(hex.data(), hex.size(), "0x%016llx", static_cast<unsigned long long>(now));
  EXPECT_EQ(last.version, cpu::kPackVersion) << "add the line {\"" << cpu::kPackVersion << "\", " << hex.data() << "}";
  EXPECT_EQ(last.content, now)
      << "the packed bytes are other ones: raise kPackVersion (kernels/cpu/pack.h) and add its "
         "line with "
      << hex.data() << " here";
}

TEST(PackVersion, NoneIsUsedTwice) {
  std::set<std::string_view> seen;
  for (const Known& known : kKnown) EXPECT_TRUE(seen.insert(known.version).second) << known.version;
}

/// The first column of the only line of the table of layouts in docs/PERFORMANCE.md whose last column names the type.
std::string documented_layout(std::string_view type) {
  std::ifstream file(AUTOGLM_SOURCE_DIR "/docs/PERFORMANCE.md");
  std::string found, line;
  bool inside = false;
  while (std::getline(file, line)) {
    inside = line.starts_with("| layout |") || (inside && line.starts_with("|"));
    if (!inside || !line.starts_with("| `")) continue;
    const size_t last = line.rfind("| ", line.size() - 2);
    const std::string types = ", " + line.substr(last + 2, line.size() - last - 4) + ",";
    if (types.find(", " + std::string(type) + ",") != std::string::npos) found += line.substr(3, line.find('`', 3) - 3);
  }
  return found;
}

TEST(PackedLayouts, AreAsDocumented) {
  WorkerPool pool(PoolOptions{.threads = 1, .cpus = {}, .spin_microseconds = 0});
  const auto backend = make_backend("generic", pool);
  std::vector<Type> types = test::quantized_types();
  types.insert(types.end(), {Type::f32, Type::f16, Type::bf16});
  for (const Type type : types) {
    const WeightSource source{.name = "w", .type = type, .count = 1, .rows = 64, .cols = 256, .data = {}};
    EXPECT_EQ(backend->layout(source, Precision::automatic), documented_layout(info(type).name)) << info(type).name;
  }
}

}  // namespace
}  // namespace autoglm
