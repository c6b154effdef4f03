#include "store/source_hash.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace autoglm {
namespace {

bool hash_file(const PackSource& source, const std::function<bool()>& stop, std::vector<std::byte>& piece,
               std::vector<uint64_t>& hashes) {
  const int file = ::open(source.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (file < 0) return false;
  struct Closer {
    int file;
    ~Closer() { ::close(file); }
  } closer{file};
  if (stamp_of(file) != source.stamp) return false;
  for (int64_t at = 0; at < source.stamp.size;) {
    const auto wanted = static_cast<size_t>(std::min(kPackPiece, source.stamp.size - at));
    size_t filled = 0;
    while (filled < wanted) {
      if (stop()) return false;
      const ssize_t got = ::pread(file, piece.data() + filled, wanted - filled, at + static_cast<int64_t>(filled));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return false;
      filled += static_cast<size_t>(got);
    }
    hashes.push_back(pack_piece_hash(std::span(piece).first(wanted)));
    at += static_cast<int64_t>(wanted);
  }
  return stamp_of(file) == source.stamp;
}

}  // namespace

std::optional<Hash128> hash_sources(const std::vector<PackSource>& sources, const std::function<bool()>& stop) {
  std::vector<std::byte> piece(static_cast<size_t>(kPackPiece));
  std::vector<uint64_t> hashes;
  for (const PackSource& source : sources) {
    if (!hash_file(source, stop, piece, hashes)) return std::nullopt;
  }
  return pack_hash(std::as_bytes(std::span(hashes)));
}

}  // namespace autoglm
