// Packs on disk: found again, written whole or not at all, bounded, and never in the way of who packs.
#include "store/pack_store.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <future>

#include "format/test_files.h"
#include "store/pack_writer.h"
#include "support/full_disk.h"

namespace autoglm {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::TemporaryFolder;

class PackStoreTest : public ::testing::Test {
 protected:
  PackStoreTest() : data_(std::make_shared<std::vector<std::byte>>(3 * kPackPiece / 2)) {
    for (size_t i = 0; i < data_->size(); ++i) (*data_)[i] = static_cast<std::byte>(i * 31 + i / 257);
  }

  PackStoreOptions options() {
    PackStoreOptions options;
    options.folder = packs();
    options.min_bytes = 0;
    options.max_bytes = int64_t{1} << 30;
    options.check_delay = std::chrono::milliseconds(0);
    options.say = [this](const std::string& text) {
      const std::scoped_lock lock(mutex_);
      said_ += text + "\n";
    };
    return options;
  }

  fs::path packs() const { return folder_.path() / "cache/packs"; }

  /// The weights of a model file of that name, which is written if it is not there.
  PackHeader weights(const std::string& name, const std::string& layout = "panel-2") {
    const fs::path path = folder_.path() / name;
    if (!fs::exists(path)) folder_.write(name, "the weights of " + name);
    PackHeader header;
    header.layout = layout;
    header.precision = "auto";
    header.sources = {{path.string(), stamp_of(path).value()}};
    header.header_hash = {1, 2};
    header.segments = {{"w", "nibble32", 0, std::ssize(*data_)}};
    header.data_bytes = std::ssize(*data_);
    return header;
  }

  void keep(PackStore& store, const PackHeader& header) {
    store.keep(header, *data_, data_);
    store.finish();
  }
  void keep(const PackHeader& header) {
    PackStore store(options());
    keep(store, header);
  }

  /// Whether the store gives back what was kept, byte for byte.
  bool has(const PackHeader& header) {
    PackStore store(options());
    const auto file = store.find(header);
    if (!file) return false;
    std::vector<std::byte> out(static_cast<size_t>(kPackPiece));
    for (int64_t i = 0; i < header.piece_count(); ++i) {
      const auto piece = std::span(out).first(static_cast<size_t>(header.piece_bytes(i)));
      if (!file->read_piece(i, piece)) return false;
      EXPECT_TRUE(std::equal(piece.begin(), piece.end(), data_->begin() + i * kPackPiece));
    }
    return true;
  }

  std::vector<std::string> files() const {
    std::vector<std::string> names;
    std::error_code none;
    for (fs::directory_iterator it(packs(), none), end; !none && it != end; ++it) {
      names.push_back(it->path().filename().string());
    }
    return names;
  }
  fs::path only_pack() const {
    EXPECT_EQ(files().size(), 1);
    return packs() / files().front();
  }
  std::string said() {
    const std::scoped_lock lock(mutex_);
    return said_;
  }

  TemporaryFolder folder_;
  std::shared_ptr<std::vector<std::byte>> data_;
  std::mutex mutex_;
  std::string said_;
};

void set_times(const fs::path& path, int64_t used, int64_t checked) {
  const timespec times[2] = {{used, 0}, {checked, 0}};
  ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
}

TEST_F(PackStoreTest, GivesBackWhatWasKept) {
  const PackHeader header = weights("a.gguf");
  EXPECT_FALSE(has(header));
  keep(header);
  EXPECT_TRUE(has(header));
  EXPECT_THAT(only_pack().filename().string(), ::testing::MatchesRegex("[0-9a-f]{16}-a.pack"));
  EXPECT_EQ(said(), "");
}

TEST_F(PackStoreTest, AMovedSourceKeepsItsPack) {
  keep(weights("a.gguf"));
  fs::rename(folder_.path() / "a.gguf", folder_.path() / "b.gguf");
  EXPECT_TRUE(has(weights("b.gguf")));
}

TEST_F(PackStoreTest, AnotherSourceLayoutOrPrecisionIsAMiss) {
  const PackHeader header = weights("a.gguf");
  keep(header);
  PackHeader other = header;
  other.sources[0].stamp.inode += 1;
  EXPECT_FALSE(has(other));
  other = header;
  other.sources[0].stamp.modified_ns += 1;
  EXPECT_FALSE(has(other));
  other = header;
  other.header_hash.low += 1;
  EXPECT_FALSE(has(other));
  EXPECT_FALSE(has(weights("a.gguf", "panel-3")));
  other = header;
  other.precision = "f32";
  EXPECT_FALSE(has(other));
  EXPECT_TRUE(has(header));
  EXPECT_EQ(said(), "");
}

TEST_F(PackStoreTest, OlderVersionsAndLostSourcesGoWithTheNextPack) {
  keep(weights("a.gguf", "panel-1"));
  keep(weights("b.gguf", "panel-3"));
  keep(weights("c.gguf", "other-1"));
  keep(weights("d.gguf"));
  fs::remove(folder_.path() / "d.gguf");
  keep(weights("e.gguf"));
  folder_.write("e.gguf", "changed in place");
  keep(weights("f.gguf"));
  EXPECT_FALSE(has(weights("a.gguf", "panel-1")));
  EXPECT_TRUE(has(weights("b.gguf", "panel-3"))) << "a newer program's";
  EXPECT_TRUE(has(weights("c.gguf", "other-1"))) << "another device's";
  EXPECT_TRUE(has(weights("f.gguf")));
  EXPECT_EQ(files().size(), 3);
}

TEST_F(PackStoreTest, DamagedPacksAreAWarningAndAMiss) {
  const PackHeader header = weights("a.gguf");
  const auto damage = [&](auto change) {
    keep(header);
    ASSERT_TRUE(has(header));
    const fs::path pack = only_pack();
    change(pack);
    said_.clear();
    EXPECT_FALSE(has(header));
    EXPECT_THAT(said(), HasSubstr("warning: "));
    EXPECT_THAT(said(), HasSubstr(pack.string()));
    EXPECT_THAT(files(), IsEmpty());
  };
  damage([](const fs::path& pack) { fs::resize_file(pack, 10); });
  damage([](const fs::path& pack) { fs::resize_file(pack, fs::file_size(pack) - 1); });
  damage([](const fs::path& pack) { fs::resize_file(pack, 0); });
  const auto flip = [](const fs::path& pack, int64_t at) {
    std::fstream file(pack, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(at);
    const auto byte = static_cast<char>(file.get() ^ 1);
    file.seekp(at);
    file.put(byte);
  };
  damage([&](const fs::path& pack) { flip(pack, 8); });   // the version
  damage([&](const fs::path& pack) { flip(pack, 60); });  // anything of the header
  damage([](const fs::path& pack) { std::ofstream(pack) << "GGUF something else"; });

  // Whole, but of other weights: somebody renamed it.
  PackHeader other = header;
  other.segments[0].layout = "byte32";
  damage([&](const fs::path& pack) {
    PackHeader copy = other;
    ASSERT_TRUE(write_pack(copy, *data_, pack, [] { return false; }, {}));
  });

  // In the data: found by who reads it.
  keep(header);
  flip(only_pack(), static_cast<int64_t>(fs::file_size(only_pack())) - 5);
  EXPECT_FALSE(has(header));
  PackStore store(options());
  store.reject(header);
  EXPECT_THAT(said(), HasSubstr("is damaged"));
  EXPECT_THAT(files(), IsEmpty());
}

TEST_F(PackStoreTest, LeastRecentlyUsedGoFirst) {
  PackStoreOptions small = options();
  const PackHeader a = weights("a.gguf"), b = weights("b.gguf"), c = weights("c.gguf");
  keep(a);
  small.max_bytes = 2 * static_cast<int64_t>(fs::file_size(only_pack())) + kPackAlign;
  keep(b);
  for (const std::string& name : files()) set_times(packs() / name, 1000, 2000000000);
  EXPECT_TRUE(has(a));  // used now: b is older
  PackStore store(small);
  keep(store, c);
  EXPECT_TRUE(has(a));
  EXPECT_FALSE(has(b));
  EXPECT_TRUE(has(c));
  EXPECT_EQ(said(), "");
}

TEST_F(PackStoreTest, LargerThanTheLimitIsNotKept) {
  PackStoreOptions small = options();
  small.max_bytes = kPackPiece;
  PackStore store(small);
  keep(store, weights("a.gguf"));
  EXPECT_THAT(files(), IsEmpty());
  EXPECT_THAT(said(), HasSubstr("--cache-max-bytes"));
}

TEST_F(PackStoreTest, TooSmallToBeWorthIt) {
  PackStoreOptions usual = options();
  usual.min_bytes = std::ssize(*data_) + 1;
  PackStore store(usual);
  keep(store, weights("a.gguf"));
  EXPECT_FALSE(fs::exists(packs()));
}

TEST_F(PackStoreTest, AFullDiskIsANote) {
  PackStoreOptions full = options();
  full.free_bytes = [&] { return std::ssize(*data_) + kPackAlign + 1000; };  // enough, but not 10 % more
  PackStore store(full);
  keep(store, weights("a.gguf"));
  EXPECT_THAT(files(), IsEmpty());
  EXPECT_THAT(said(), HasSubstr("has 5 MiB left"));
}

TEST_F(PackStoreTest, AFolderThatCannotBeMadeIsANote) {
  PackStoreOptions nowhere = options();
  nowhere.folder = folder_.write("a_file", "in the way") / "packs";
  PackStore store(nowhere);
  EXPECT_EQ(store.find(weights("a.gguf")), nullptr);
  keep(store, weights("a.gguf"));
  EXPECT_THAT(said(), HasSubstr("packed weights are not kept: cannot write to"));
}

TEST_F(PackStoreTest, AFailingWriteIsANoteAndLeavesNothing) {
  PackStoreOptions failing = options();
  failing.before_rename = [](const fs::path&) { fail(Code::work_failed, "the disk has gone"); };
  PackStore store(failing);
  keep(store, weights("a.gguf"));
  EXPECT_THAT(files(), IsEmpty());
  EXPECT_THAT(said(), HasSubstr("the disk has gone"));
}

// The limit on a file's size is what a test can set; the errors and the way back are those of a disk that is full.
TEST_F(PackStoreTest, ADiskThatFillsUpMeanwhileIsANoteAndLeavesNothing) {
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit limit{.rlim_cur = 2 * kPackPiece, .rlim_max = 2 * kPackPiece};
    ::signal(SIGXFSZ, SIG_IGN);
    ::setrlimit(RLIMIT_FSIZE, &limit);
    PackStoreOptions optimistic = options();
    optimistic.free_bytes = [] { return int64_t{1} << 40; };
    PackStore store(optimistic);
    keep(store, weights("a.gguf"));
    const bool good = files().empty() && said().find("packed weights are not kept: cannot write") != std::string::npos;
    ::_exit(good ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(PackStoreTest, ADiskWithoutAByteLeftIsANoteAndLeavesNothing) {
  EXPECT_TRUE(test::on_a_small_disk(folder_.path() / "cache", kPackPiece, [&] {
    PackStoreOptions optimistic = options();
    optimistic.free_bytes = [] { return int64_t{1} << 40; };
    PackStore store(optimistic);
    keep(store, weights("a.gguf"));
    EXPECT_THAT(files(), IsEmpty());
    EXPECT_THAT(said(), HasSubstr("packed weights are not kept: cannot write"));
    EXPECT_THAT(said(), HasSubstr("No space left"));
    return true;
  }));
}

TEST_F(PackStoreTest, KilledBeforeTheRename) {
  const PackHeader header = weights("a.gguf");
  const pid_t child = ::fork();
  if (child == 0) {
    PackStoreOptions dying = options();
    dying.before_rename = [](const fs::path&) { ::kill(::getpid(), SIGKILL); };
    PackStore store(dying);
    keep(store, header);
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  EXPECT_THAT(files(), ElementsAre(HasSubstr(".part")));
  EXPECT_FALSE(has(header));
  keep(header);
  EXPECT_TRUE(has(header));
  EXPECT_EQ(only_pack().extension(), ".pack") << "what the dead process left is gone";
  EXPECT_EQ(said(), "");
  std::ofstream(packs() / ".other.pack-1-2.part") << "a dead process's";
  EXPECT_TRUE(has(header));
  EXPECT_EQ(files().size(), 1) << "a start that only reads cleans up too";
}

TEST_F(PackStoreTest, TwoAtOnceWriteOnePack) {
  const PackHeader header = weights("a.gguf");
  std::promise<void> about_to_rename, go_on;
  PackStoreOptions slow = options();
  slow.before_rename = [&](const fs::path&) {
    about_to_rename.set_value();
    go_on.get_future().wait();
  };
  PackStore first(slow);
  first.keep(header, *data_, data_);
  about_to_rename.get_future().wait();
  keep(header);  // sees that it is being written, and lets that be
  EXPECT_THAT(files(), ElementsAre(HasSubstr(".part")));
  go_on.set_value();
  first.finish();
  EXPECT_TRUE(has(header));
  EXPECT_EQ(files().size(), 1);
  EXPECT_EQ(said(), "");
}

TEST_F(PackStoreTest, ASourceThatChangesMeanwhileIsNotKept) {
  const PackHeader header = weights("a.gguf");
  folder_.write("a.gguf", "something of another size");
  keep(header);
  EXPECT_THAT(files(), IsEmpty());
}

TEST_F(PackStoreTest, CtrlCThatEndsAnAnswerDoesNotEndTheWriting) {
  PackStoreOptions stopped = options();
  stopped.interrupted = [] { return true; };
  PackStore store(stopped);
  keep(store, weights("a.gguf"));
  EXPECT_EQ(files().size(), 1);
}

/// The same size and time, but other bytes.
void change_secretly(const fs::path& path) {
  struct stat before{};
  ASSERT_EQ(::stat(path.c_str(), &before), 0);
  std::fstream(path, std::ios::in | std::ios::out | std::ios::binary).put('T');
  const timespec times[2] = {before.st_atim, before.st_mtim};
  ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
}

TEST_F(PackStoreTest, TheSourceIsCheckedInTheBackground) {
  const PackHeader header = weights("a.gguf");
  keep(header);
  const fs::path pack = only_pack();
  const auto checked = [&] { return stamp_of(pack).value().modified_ns; };
  set_times(pack, 1000, 1000);
  {
    PackStore store(options());
    EXPECT_NE(store.find(header), nullptr);
    while (checked() == 1000'000'000'000) std::this_thread::yield();
  }
  EXPECT_TRUE(has(header));

  change_secretly(folder_.path() / "a.gguf");
  EXPECT_TRUE(has(header)) << "was checked a moment ago";
  EXPECT_EQ(files().size(), 1);
  set_times(pack, 1000, 1000);
  {
    PackStore store(options());
    EXPECT_NE(store.find(header), nullptr) << "in the background: this start still uses it";
    while (fs::exists(pack)) std::this_thread::yield();
  }
  EXPECT_THAT(said(), HasSubstr("has changed since it was packed"));
  EXPECT_FALSE(has(header));
}

TEST_F(PackStoreTest, ACheckIsGivenUpAtTheEnd) {
  const PackHeader header = weights("a.gguf");
  keep(header);
  set_times(only_pack(), 1000, 1000);
  PackStoreOptions patient = options();
  patient.check_delay = std::chrono::hours(24);
  PackStore(patient).find(header);  // ends at once
  EXPECT_EQ(stamp_of(only_pack()).value().modified_ns, 1000'000'000'000);
}

}  // namespace
}  // namespace autoglm
