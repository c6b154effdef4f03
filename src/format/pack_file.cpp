#include "format/pack_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/mapped_names.h"

namespace autoglm {
namespace {

constexpr std::string_view kMagic = "AGLMPACK";
constexpr size_t kPrefix = 24;                       // magic, version, header bytes, hash of the rest
constexpr int64_t kMostHeader = int64_t{256} << 20;  // 32 TiB of data; a real one has a few KiB
constexpr size_t kMostText = 4096;
constexpr int64_t kMostData = int64_t{1} << 48;

class Writer {
 public:
  template <typename T>
  void number(T value) {
    std::array<std::byte, sizeof(T)> raw;
    std::memcpy(raw.data(), &value, sizeof(T));
    bytes.insert(bytes.end(), raw.begin(), raw.end());
  }
  void text(std::string_view value) {
    value = value.substr(0, kMostText);
    number(static_cast<uint32_t>(value.size()));
    const auto raw = std::as_bytes(std::span(value));
    bytes.insert(bytes.end(), raw.begin(), raw.end());
  }
  void hash(const Hash128& value) {
    number(value.low);
    number(value.high);
  }
  std::vector<std::byte> bytes;
};

class Reader {
 public:
  Reader(std::span<const std::byte> bytes, std::string where) : rest_(bytes), where_(std::move(where)) {}

  [[noreturn]] void bad(const std::string& what) const { fail(Code::bad_file, "the pack " + where_ + " " + what); }

  template <typename T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
    return value;
  }
  std::string text() {
    const auto size = number<uint32_t>();
    if (size > kMostText) bad("has a name of " + std::to_string(size) + " bytes");
    const auto raw = take(size);
    return {reinterpret_cast<const char*>(raw.data()), raw.size()};
  }
  Hash128 hash() {
    const auto low = number<uint64_t>();
    return {low, number<uint64_t>()};
  }
  int64_t size() {
    const auto value = number<uint64_t>();
    if (value > static_cast<uint64_t>(kMostData)) bad("has a size of " + std::to_string(value) + " bytes");
    return static_cast<int64_t>(value);
  }
  /// The length of a list whose entries take at least `least` bytes each.
  size_t length(size_t least) {
    const auto count = number<uint32_t>();
    if (count > rest_.size() / least) bad("is cut");
    return count;
  }
  bool at_end() const { return rest_.empty(); }

 private:
  std::span<const std::byte> take(size_t size) {
    if (size > rest_.size()) bad("is cut");
    const auto taken = rest_.first(size);
    rest_ = rest_.subspan(size);
    return taken;
  }
  std::span<const std::byte> rest_;
  std::string where_;
};

/// What the first bytes say of the whole header. Throws unless they are those of this version.
struct Prefix {
  int64_t header_bytes = 0;
  uint64_t hash = 0;
};

Prefix read_prefix(std::span<const std::byte> bytes, int64_t file_bytes, const std::string& where) {
  Reader in(bytes, where);
  if (bytes.size() < kPrefix || std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) != 0) in.bad("is no pack");
  in.number<uint64_t>();
  const auto version = in.number<uint32_t>();
  if (version != kPackFileVersion) in.bad("is of version " + std::to_string(version));
  Prefix prefix;
  prefix.header_bytes = in.number<uint32_t>();
  prefix.hash = in.number<uint64_t>();
  if (prefix.header_bytes < static_cast<int64_t>(kPrefix) || prefix.header_bytes > std::min(file_bytes, kMostHeader)) {
    in.bad("is cut");
  }
  return prefix;
}

void read_segments(Reader& in, PackHeader& header) {
  const size_t count = in.length(24);
  int64_t end = 0;
  for (size_t i = 0; i < count; ++i) {
    PackSegment segment;
    segment.name = in.text();
    segment.layout = in.text();
    segment.offset = in.size();
    segment.bytes = in.size();
    if (segment.offset < end || segment.offset + segment.bytes > header.data_bytes) in.bad("has a tensor outside it");
    end = segment.offset + segment.bytes;
    header.segments.push_back(std::move(segment));
  }
}

[[noreturn]] void unreadable(const std::filesystem::path& path, int error) {
  fail(Code::bad_file, "cannot read the pack " + path.string() + ": " + std::strerror(error));
}

}  // namespace

bool PackHeader::same_weights(const PackHeader& other) const {
  const auto same_file = [](const PackSource& a, const PackSource& b) { return a.stamp == b.stamp; };
  return layout == other.layout && precision == other.precision && header_hash == other.header_hash &&
         data_bytes == other.data_bytes && std::ranges::equal(sources, other.sources, same_file) &&
         segments == other.segments;
}

int64_t PackHeader::piece_bytes(int64_t index) const { return std::min(kPackPiece, data_bytes - index * kPackPiece); }

std::vector<std::byte> encode_pack_header(const PackHeader& header) {
  AUTOGLM_CHECK(std::ssize(header.pieces) == header.piece_count(), "a hash for every piece");
  Writer body;
  Writer fixed;
  body.number(header.data_bytes);
  body.hash(header.header_hash);
  body.hash(header.content_hash);
  body.text(header.layout);
  body.text(header.precision);
  body.number(static_cast<uint32_t>(header.sources.size()));
  for (const PackSource& source : header.sources) {
    body.text(source.path);
    body.number(source.stamp.device);
    body.number(source.stamp.inode);
    body.number(source.stamp.size);
    body.number(source.stamp.modified_ns);
  }
  body.number(static_cast<uint32_t>(header.segments.size()));
  for (const PackSegment& segment : header.segments) {
    body.text(segment.name);
    body.text(segment.layout);
    body.number(segment.offset);
    body.number(segment.bytes);
  }
  body.number(static_cast<uint32_t>(header.pieces.size()));
  for (const uint64_t piece : header.pieces) body.number(piece);

  const auto header_bytes = static_cast<int64_t>(kPrefix + 8 + body.bytes.size());
  Writer rest;
  rest.number(pack_data_offset(header_bytes));
  rest.bytes.insert(rest.bytes.end(), body.bytes.begin(), body.bytes.end());
  uint64_t magic = 0;
  std::memcpy(&magic, kMagic.data(), sizeof magic);
  fixed.number(magic);
  fixed.number(kPackFileVersion);
  fixed.number(static_cast<uint32_t>(header_bytes));
  fixed.number(pack_piece_hash(rest.bytes));
  fixed.bytes.insert(fixed.bytes.end(), rest.bytes.begin(), rest.bytes.end());
  return std::move(fixed.bytes);
}

int64_t pack_data_offset(int64_t header_bytes) { return (header_bytes + kPackAlign - 1) / kPackAlign * kPackAlign; }

PackHeader read_pack_header(std::span<const std::byte> bytes, int64_t file_bytes, const std::string& where) {
  const Prefix prefix = read_prefix(bytes, file_bytes, where);
  Reader in(bytes.subspan(kPrefix, std::min(bytes.size(), static_cast<size_t>(prefix.header_bytes)) - kPrefix), where);
  if (std::ssize(bytes) < prefix.header_bytes) in.bad("is cut");
  if (pack_piece_hash(bytes.subspan(kPrefix, static_cast<size_t>(prefix.header_bytes) - kPrefix)) != prefix.hash) {
    in.bad("has a damaged header");
  }
  PackHeader header;
  const int64_t data_offset = in.size();
  header.data_bytes = in.size();
  if (data_offset != pack_data_offset(prefix.header_bytes) || file_bytes != data_offset + header.data_bytes) {
    in.bad("is cut: it has " + std::to_string(file_bytes) + " bytes, not " +
           std::to_string(data_offset + header.data_bytes));
  }
  header.header_hash = in.hash();
  header.content_hash = in.hash();
  header.layout = in.text();
  header.precision = in.text();
  for (size_t left = in.length(36); left > 0; --left) {
    PackSource source;
    source.path = in.text();
    source.stamp.device = in.number<uint64_t>();
    source.stamp.inode = in.number<uint64_t>();
    source.stamp.size = in.number<int64_t>();
    source.stamp.modified_ns = in.number<int64_t>();
    header.sources.push_back(std::move(source));
  }
  read_segments(in, header);
  header.pieces.resize(in.length(8));
  for (uint64_t& piece : header.pieces) piece = in.number<uint64_t>();
  if (std::ssize(header.pieces) != header.piece_count() || !in.at_end()) in.bad("has a damaged header");
  return header;
}

PackFile::PackFile(const std::filesystem::path& path) : path_(path) {
  // Without access times: that one is mark_used()'s affair, and a look at the header is no use. Only an owner may.
  constexpr int kFlags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  file_ = ::open(path.c_str(), kFlags | O_NOATIME);
  if (file_ < 0 && errno == EPERM) file_ = ::open(path.c_str(), kFlags);
  if (file_ < 0) unreadable(path, errno);
  try {
    struct stat status{};
    if (::fstat(file_, &status) != 0) unreadable(path, errno);
    if (!S_ISREG(status.st_mode)) fail(Code::bad_file, "the pack " + path.string() + " is not a file");
    stamp_ = stamp_of(file_).value_or(FileStamp{});
    std::vector<std::byte> bytes(std::min<size_t>(kPrefix, static_cast<size_t>(stamp_.size)));
    if (!read(bytes, 0)) unreadable(path, EIO);
    bytes.resize(static_cast<size_t>(read_prefix(bytes, stamp_.size, path.string()).header_bytes));
    if (!read(bytes, 0)) unreadable(path, EIO);
    header_ = read_pack_header(bytes, stamp_.size, path.string());
    data_offset_ = pack_data_offset(std::ssize(bytes));
  } catch (...) {
    ::close(file_);
    throw;
  }
}

PackFile::~PackFile() { ::close(file_); }

bool PackFile::read(std::span<std::byte> out, int64_t offset) const {
  while (!out.empty()) {
    const ssize_t got = ::pread(file_, out.data(), out.size(), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;  // a failing disk, or cut since it was opened
    out = out.subspan(static_cast<size_t>(got));
    offset += got;
  }
  return true;
}

bool PackFile::read_piece(int64_t index, std::span<std::byte> out) const {
  return read(out, data_offset_ + index * kPackPiece) &&
         pack_piece_hash(out) == header_.pieces[static_cast<size_t>(index)];
}

std::shared_ptr<const std::byte> PackFile::map() const {
  const auto size = static_cast<size_t>(header_.data_bytes);
  if (size == 0) return nullptr;
  // At an address that huge pages can take: newer systems choose such a one by themselves.
  constexpr auto kHuge = static_cast<size_t>(kPackAlign);
  const size_t reserved = size + kHuge;
  void* space = ::mmap(nullptr, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (space == MAP_FAILED) return nullptr;
  const auto begin = reinterpret_cast<uintptr_t>(space);
  auto* at = static_cast<std::byte*>(space) + (kHuge - begin % kHuge) % kHuge;
  const std::shared_ptr<void> hold(space, [reserved, at](void* all) {
    forget_mapping(at);
    ::munmap(all, reserved);
  });
  if (::mmap(at, size, PROT_READ, MAP_SHARED | MAP_FIXED, file_, data_offset_) == MAP_FAILED) return nullptr;
  name_mapping({at, size}, path_.string());
  ::madvise(at, size, MADV_HUGEPAGE);  // what is not in memory yet is read in huge pages
  return {hold, at};
}

bool PackFile::check_piece(int64_t index, const std::byte* mapped) const {
  const std::span piece(mapped + index * kPackPiece, static_cast<size_t>(header_.piece_bytes(index)));
#ifdef MADV_POPULATE_READ
  // One call for all pages instead of a fault for every few of them.
  ::madvise(const_cast<std::byte*>(piece.data()), piece.size(), MADV_POPULATE_READ);
#endif
  return pack_piece_hash(piece) == header_.pieces[static_cast<size_t>(index)];
}

void PackFile::mark_used() const {
  const std::array<timespec, 2> times{{{.tv_sec = 0, .tv_nsec = UTIME_NOW}, {.tv_sec = 0, .tv_nsec = UTIME_OMIT}}};
  [[maybe_unused]] const int ignored = ::futimens(file_, times.data());
}

void PackFile::mark_checked() const { [[maybe_unused]] const int ignored = ::futimens(file_, nullptr); }

}  // namespace autoglm
