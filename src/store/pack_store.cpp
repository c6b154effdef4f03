#include "store/pack_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/ledger.h"
#include "base/priority.h"
#include "store/pack_writer.h"
#include "store/places.h"
#include "store/source_hash.h"

namespace autoglm {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kEnding = ".pack";

/// The part of a pack's name that finds it: all that must be equal, in 64 bits.
std::string key_of(const PackHeader& header) {
  std::string text = header.layout + '\0' + header.precision + '\0';
  const auto add = [&](auto number) { text.append(reinterpret_cast<const char*>(&number), sizeof number); };
  add(header.header_hash.low);
  add(header.header_hash.high);
  for (const PackSource& source : header.sources) {
    add(source.stamp.device);
    add(source.stamp.inode);
    add(source.stamp.size);
    add(source.stamp.modified_ns);
  }
  return fmt::format("{:016x}", pack_hash(std::as_bytes(std::span(text))).low);
}

std::vector<fs::path> packs_in(const fs::path& folder) {
  std::vector<fs::path> packs;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (it->path().extension() == kEnding && !it->path().filename().string().starts_with('.')) {
      packs.push_back(it->path());
    }
  }
  return packs;
}

/// The lower of what the disk has left and what this process may write into one file.
int64_t free_bytes_of(const fs::path& folder) {
  struct statvfs disk{};
  if (::statvfs(folder.c_str(), &disk) != 0) return 0;
  const auto left = static_cast<int64_t>(disk.f_bavail * disk.f_frsize);
  rlimit limit{};
  if (::getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur > static_cast<rlim_t>(INT64_MAX)) return left;
  return std::min(left, static_cast<int64_t>(limit.rlim_cur));
}

int64_t disk_bytes(const fs::path& folder) {
  struct statvfs disk{};
  return ::statvfs(folder.c_str(), &disk) == 0 ? static_cast<int64_t>(disk.f_blocks * disk.f_frsize) : 0;
}

struct Version {
  std::string name;
  int number = 0;
};

/// "panel32-7" is version 7 of panel32.
Version version_of(const std::string& layout) {
  const size_t dash = layout.rfind('-');
  Version version{.name = layout.substr(0, dash)};
  if (dash != std::string::npos) {
    std::from_chars(layout.data() + dash + 1, layout.data() + layout.size(), version.number);
  }
  return version;
}

/// Whether the file that a pack was made of is known to be gone or to have changed. A folder that is not there may
/// come back with its disk.
bool source_is_gone(const PackSource& source) {
  const auto now = stamp_of(fs::path(source.path));
  if (now) return *now != source.stamp;
  std::error_code ignored;
  return fs::is_directory(fs::path(source.path).parent_path(), ignored);
}

/// A pack of an older version, or of a source that is no more. What cannot be read is of no use either.
bool outdated(const fs::path& path, const PackHeader& current) {
  try {
    const PackFile file(path);
    const Version its = version_of(file.header().layout);
    const Version ours = version_of(current.layout);
    return (its.name == ours.name && its.number < ours.number) ||
           std::ranges::any_of(file.header().sources, source_is_gone);
  } catch (const Error&) {
    return true;
  }
}

void remove_file(const fs::path& path) {
  std::error_code ignored;
  fs::remove(path, ignored);
}

/// Only time that nobody else wants, of the CPU and of the disk.
void yield_to_everybody() {
  const auto thread = static_cast<id_t>(::syscall(SYS_gettid));
  be_nice(19);
  const sched_param none{};
  ::sched_setscheduler(static_cast<pid_t>(thread), SCHED_IDLE, &none);
  constexpr int kWhoIsThread = 1, kClassIdle = 3, kClassShift = 13;
  ::syscall(SYS_ioprio_set, kWhoIsThread, thread, kClassIdle << kClassShift);
}

}  // namespace

PackStore::PackStore(PackStoreOptions options) : options_(std::move(options)), thread_([this] { work(); }) {}

PackStore::~PackStore() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
  if (checker_.joinable()) checker_.join();
}

void PackStore::say(const std::string& text) const {
  if (options_.say) options_.say(text);
}

fs::path PackStore::place_of(const PackHeader& header) const {
  const fs::path source = header.sources.front().path;
  std::string name = source.stem().string();
  if (source.extension() == ".safetensors") name = source.parent_path().filename().string();
  return options_.folder / (key_of(header) + "-" + folder_name(name.substr(0, 60)) + std::string(kEnding));
}

fs::path PackStore::existing(const PackHeader& header) const {
  const std::string prefix = key_of(header) + "-";
  for (const fs::path& path : packs_in(options_.folder)) {
    if (path.filename().string().starts_with(prefix)) return path;
  }
  return {};
}

std::unique_ptr<PackFile> PackStore::find(const PackHeader& wanted) {
  const fs::path path = existing(wanted);
  if (path.empty()) return nullptr;
  std::unique_ptr<PackFile> file;
  try {
    file = std::make_unique<PackFile>(path);
  } catch (const Error& error) {
    say(fmt::format("warning: {}; the weights are packed anew", error.what()));
    remove_file(path);
    return nullptr;
  }
  if (!file->header().same_weights(wanted)) {
    say(fmt::format("warning: the pack {} belongs to other weights; they are packed anew", path.string()));
    remove_file(path);
    return nullptr;
  }
  file->mark_used();
  remove_leftovers(options_.folder, path);
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto age = now - std::chrono::nanoseconds(file->modified_ns());
  // In a folder that is only to be read nothing could be done about a bad pack, nor would the check be remembered.
  if (age >= options_.check_after && ::access(options_.folder.c_str(), W_OK) == 0) {
    Check task{file->header(), path};
    task.header.sources = wanted.sources;  // where they lie now
    {
      const std::scoped_lock lock(mutex_);
      check_ = std::move(task);
    }
    changed_.notify_all();
  }
  return file;
}

void PackStore::reject(const PackHeader& wanted) {
  const fs::path path = existing(wanted);
  if (path.empty()) return;
  say(fmt::format("warning: the pack {} is damaged; the weights are packed anew", path.string()));
  remove_file(path);
}

void PackStore::keep(const PackHeader& header, std::span<const std::byte> data, std::shared_ptr<const void> owner) {
  if (header.data_bytes < options_.min_bytes) return;
  std::error_code error;
  fs::create_directories(options_.folder, error);
  if (error || ::access(options_.folder.c_str(), W_OK) != 0) {
    say(fmt::format("packed weights are not kept: cannot write to {}{}", options_.folder.string(),
                    error ? " (" + error.message() + ")" : ""));
    return;
  }
  const fs::path path = place_of(header);
  if (remove_leftovers(options_.folder, path)) return;  // another process is writing the same
  remove_outdated(header, path);
  if (!make_room(header.data_bytes + kPackAlign)) return;
  {
    const std::scoped_lock lock(mutex_);
    writes_.push_back({header, path, data, std::move(owner)});
  }
  changed_.notify_all();
}

void PackStore::remove_outdated(const PackHeader& current, const fs::path& keep) const {
  for (const fs::path& path : packs_in(options_.folder)) {
    if (path != keep && outdated(path, current)) remove_file(path);
  }
}

/// Makes room below the limit by the packs that were not used for longest, and sees whether the disk has it. Says why
/// not.
bool PackStore::make_room(int64_t bytes) const {
  const int64_t limit = options_.max_bytes > 0 ? options_.max_bytes : disk_bytes(options_.folder) / 10;
  if (bytes > limit) {
    say(fmt::format("packed weights are not kept: they take {} and {} is {}", format_bytes(bytes),
                    options_.max_bytes > 0 ? "--cache-max-bytes" : "a tenth of the disk", format_bytes(limit)));
    return false;
  }
  struct Old {
    fs::path path;
    timespec used;
    int64_t bytes;
  };
  std::vector<Old> packs;
  int64_t total = bytes;
  for (const fs::path& path : packs_in(options_.folder)) {
    struct stat status{};
    if (::stat(path.c_str(), &status) != 0) continue;
    packs.push_back({path, status.st_atim, status.st_size});
    total += status.st_size;
  }
  std::ranges::sort(packs, [](const Old& a, const Old& b) {
    return std::pair(a.used.tv_sec, a.used.tv_nsec) < std::pair(b.used.tv_sec, b.used.tv_nsec);
  });
  for (const Old& old : packs) {
    if (total <= limit) break;
    remove_file(old.path);
    total -= old.bytes;
  }
  const int64_t left = options_.free_bytes ? options_.free_bytes() : free_bytes_of(options_.folder);
  if (left >= bytes + bytes / 10) return true;
  say(fmt::format("packed weights are not kept: they take {} and the disk of {} has {} left", format_bytes(bytes),
                  options_.folder.string(), format_bytes(left)));
  return false;
}

// ---- Threads

void PackStore::finish() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return writes_.empty() && !writing_; });
}

void PackStore::work() {
  be_nice(10);
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stopping_ || !writes_.empty() || check_; });
    if (!writes_.empty()) {
      Write task = std::move(writes_.front());
      writes_.pop_front();
      writing_ = true;
      lock.unlock();
      write(task);
      task = {};
      lock.lock();
      writing_ = false;
      changed_.notify_all();
    } else if (stopping_) {
      return;
    } else {
      // From here, so that it runs on any CPU: the thread that loads is pinned to one.
      if (!checker_.joinable()) checker_ = std::thread([this, task = std::move(*check_)] { check(task); });
      check_.reset();
    }
  }
}

void PackStore::write(Write& task) {
  const auto stop = [&] {
    const bool changed = std::ranges::any_of(task.header.sources,
                                             [](const PackSource& s) { return stamp_of(fs::path(s.path)) != s.stamp; });
    return changed || (stopping_ && options_.interrupted && options_.interrupted());
  };
  try {
    const auto content = hash_sources(task.header.sources, stop);
    if (!content) return;
    task.header.content_hash = *content;
    write_pack(task.header, task.data, task.path, stop, options_.before_rename);
  } catch (const std::exception& error) {
    say(fmt::format("packed weights are not kept: {}", error.what()));
  }
}

void PackStore::check(const Check& task) {
  yield_to_everybody();
  {
    std::unique_lock lock(mutex_);
    if (changed_.wait_for(lock, options_.check_delay, [&] { return stopping_.load(); })) return;
  }
  try {
    const auto content = hash_sources(task.header.sources, [&] { return stopping_.load(); });
    if (!content) return;
    const PackFile file(task.path);
    if (*content == task.header.content_hash) {
      file.mark_checked();
    } else {
      say(fmt::format(
          "warning: {} has changed since it was packed, though its size and time have not; {} is removed and "
          "the next start packs anew",
          task.header.sources.front().path, task.path.string()));
      remove_file(task.path);
    }
  } catch (const std::exception& error) {
    say(fmt::format("warning: the pack {} could not be checked: {}", task.path.string(), error.what()));
  }
}

}  // namespace autoglm
