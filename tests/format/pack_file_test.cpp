// Pack files: what is written is read back; what is cut, changed or of another version is refused.
#include "format/pack_file.h"

#include <gmock/gmock.h>

#include "format/test_files.h"

namespace autoglm {
namespace {

using testing::as_bytes;
using testing::TemporaryFolder;

std::vector<std::byte> data_of(int64_t size) {
  std::vector<std::byte> data(static_cast<size_t>(size));
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i * 7 + i / 4093);
  return data;
}

PackHeader header_of(std::span<const std::byte> data) {
  PackHeader header{.layout = "panel-3",
                    .precision = "auto",
                    .sources = {{"/models/a.gguf", {1, 2, 300, 4}}, {"/models/b.gguf", {1, 3, 500, -6}}},
                    .header_hash = {5, 6},
                    .content_hash = {7, 8},
                    .segments = {{"a", "nibble32", 0, 100}, {"b", "byte16", 128, std::ssize(data) - 128}},
                    .data_bytes = std::ssize(data),
                    .pieces = {}};
  for (int64_t i = 0; i < header.piece_count(); ++i) {
    header.pieces.push_back(
        pack_piece_hash(data.subspan(static_cast<size_t>(i * kPackPiece), static_cast<size_t>(header.piece_bytes(i)))));
  }
  return header;
}

std::string file_of(const PackHeader& header, std::span<const std::byte> data) {
  const std::vector<std::byte> bytes = encode_pack_header(header);
  std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  text.resize(static_cast<size_t>(pack_data_offset(std::ssize(bytes))));
  return text.append(reinterpret_cast<const char*>(data.data()), data.size());
}

class PackFileTest : public ::testing::Test {
 protected:
  PackFileTest() : data_(data_of(2 * kPackPiece + 12345)), header_(header_of(data_)), file_(file_of(header_, data_)) {}

  bool every_piece(const PackFile& pack) {
    std::vector<std::byte> out(static_cast<size_t>(kPackPiece));
    const auto mapped = pack.map();
    bool good = true;
    for (int64_t i = 0; i < header_.piece_count(); ++i) {
      const auto size = static_cast<size_t>(header_.piece_bytes(i));
      const bool read = pack.read_piece(i, std::span(out).first(size));
      EXPECT_EQ(read, pack.check_piece(i, mapped.get())) << "both ways find the same";
      good = good && read;
      if (read) EXPECT_TRUE(std::equal(out.begin(), out.begin() + size, data_.begin() + i * kPackPiece));
    }
    return good;
  }

  TemporaryFolder folder_;
  std::vector<std::byte> data_;
  PackHeader header_;
  std::string file_;
};

TEST_F(PackFileTest, ReadsWhatWasWritten) {
  const PackFile pack(folder_.write("a.pack", file_));
  const PackHeader& read = pack.header();
  EXPECT_TRUE(read.same_weights(header_));
  EXPECT_EQ(read.content_hash, header_.content_hash);
  EXPECT_EQ(read.pieces, header_.pieces);
  EXPECT_EQ(read.sources.at(1).path, "/models/b.gguf");
  EXPECT_EQ(pack.data_offset() % kPackAlign, 0);
  EXPECT_TRUE(every_piece(pack));
}

TEST_F(PackFileTest, OtherWeightsAreTold) {
  const auto differs = [&](auto change) {
    PackHeader other = header_;
    change(other);
    return !other.same_weights(header_);
  };
  EXPECT_TRUE(differs([](PackHeader& h) { h.layout = "panel-4"; }));
  EXPECT_TRUE(differs([](PackHeader& h) { h.precision = "f32"; }));
  EXPECT_TRUE(differs([](PackHeader& h) { h.header_hash.high = 0; }));
  EXPECT_TRUE(differs([](PackHeader& h) { h.sources[0].stamp.inode = 9; }));
  EXPECT_TRUE(differs([](PackHeader& h) { h.sources[1].stamp.modified_ns = 9; }));
  EXPECT_TRUE(differs([](PackHeader& h) { h.sources.pop_back(); }));
  EXPECT_TRUE(differs([](PackHeader& h) { h.segments[1].layout = "byte32"; }));
  EXPECT_FALSE(differs([](PackHeader& h) { h.sources[0].path = "/elsewhere/a.gguf"; }));
  EXPECT_FALSE(differs([](PackHeader& h) { h.content_hash = {}; }));
}

TEST_F(PackFileTest, EveryChangedByteIsFound) {
  const auto header_bytes = encode_pack_header(header_).size();
  for (size_t at = 0; at < header_bytes; at += 3) {
    std::string changed = file_;
    changed[at] = static_cast<char>(changed[at] ^ 0x10);
    EXPECT_ERROR(read_pack_header(as_bytes(changed).first(header_bytes), std::ssize(changed), "x"), Code::bad_file,
                 "the pack x");
  }
  const size_t begin = file_.size() - data_.size();
  for (const size_t at : {size_t{0}, size_t{77}, static_cast<size_t>(kPackPiece), data_.size() - 1}) {
    std::string changed = file_;
    changed[begin + at] = static_cast<char>(changed[begin + at] ^ 1);
    EXPECT_FALSE(every_piece(PackFile(folder_.write("b.pack", changed))));
  }
}

TEST_F(PackFileTest, CutAnywhere) {
  for (const size_t size : {size_t{0}, size_t{5}, size_t{24}, size_t{100}, file_.size() - 1}) {
    const auto path = folder_.write("c.pack", file_.substr(0, size));
    EXPECT_ERROR(PackFile{path}, Code::bad_file, "c.pack");
  }
  const auto path = folder_.write("d.pack", file_);
  const PackFile pack(path);
  std::filesystem::resize_file(path, file_.size() - data_.size() + 10);
  std::vector<std::byte> out(static_cast<size_t>(kPackPiece));
  EXPECT_FALSE(pack.read_piece(0, out)) << "cut after it was opened";
}

TEST_F(PackFileTest, OtherVersionsAndKinds) {
  std::string other = file_;
  other[8] = 2;
  EXPECT_ERROR(PackFile{folder_.write("v.pack", other)}, Code::bad_file, "is of version 2");
  EXPECT_ERROR(PackFile{folder_.write("g.pack", "GGUF" + file_)}, Code::bad_file, "is no pack");
  EXPECT_ERROR(PackFile{folder_.path()}, Code::bad_file, "is not a file");
  EXPECT_ERROR(PackFile{folder_.path() / "none"}, Code::bad_file, "No such file");
}

TEST_F(PackFileTest, WorksOnAfterItIsRemoved) {
  const auto path = folder_.write("r.pack", file_);
  const PackFile pack(path);
  std::filesystem::remove(path);
  EXPECT_TRUE(every_piece(pack));
}

}  // namespace
}  // namespace autoglm
