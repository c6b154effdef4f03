// The writing thread of the prefix cache on disk: it looks through what is there, writes, makes room, keeps the index.
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"
#include "base/priority.h"
#include "store/prefix_store.h"

namespace autoglm {
namespace {

namespace fs = std::filesystem;

constexpr const char* kIndexName = "index.sqlite";
constexpr int64_t kKeepFree = int64_t{256} << 20;  // of the disk, for others
constexpr int64_t kSaveAfter = 64;                 // records that a crash may leave to be found in the segments
constexpr int64_t kAutomaticMost = int64_t{16} << 30;

}  // namespace

int64_t PrefixStore::automatic_max_bytes(const fs::path& folder) {
  struct statvfs disk{};
  // The folder may not be there yet: whatever is above it lies on the same disk, in all likelihood.
  std::error_code ignored;
  fs::path at = fs::absolute(folder, ignored);
  while (::statvfs(at.c_str(), &disk) != 0 && at.has_relative_path()) at = at.parent_path();
  const auto bytes = static_cast<int64_t>(disk.f_blocks * disk.f_frsize);
  return bytes == 0 ? kAutomaticMost : std::min(bytes / 20, kAutomaticMost);
}

// Called once: the cache goes on as far as it can, and the user is told why not farther.
void PrefixStore::give_up(const std::string& why) {
  const Lock lock(mutex_);
  writable_ = false;
  stats_.dropped_blocks += std::ssize(pending_);
  pending_.clear();
  waiting_.clear();
  say("warning: no more prefixes are kept on disk: " + why);
}

void PrefixStore::write_all() {
  be_nice(10);
  Lock lock(mutex_);
  write_wanted_.wait(lock, [&] { return stopping_ || attached_; });
  if (!attached_) return;
  writable_ = true;
  lock.unlock();
  try {
    load();
  } catch (const std::exception& error) {
    give_up(error.what());
  }
  lock.lock();
  loaded_ = true;
  read_wanted_.notify_all();
  while (true) {
    written_.notify_all();
    write_wanted_.wait(lock, [&] { return stopping_ || !pending_.empty() || to_save(); });
    const bool late = stopping_ && std::chrono::steady_clock::now() >= last_moment_;
    if (!pending_.empty() && !late) {
      write(lock);
    } else if (to_save()) {
      working_ = true;
      lock.unlock();
      save();
      lock.lock();
      working_ = false;
    } else if (stopping_) {
      stats_.dropped_blocks += std::ssize(pending_);
      pending_.clear();
      waiting_.clear();
      written_.notify_all();
      return;
    }
  }
}

// ---- What is there

void PrefixStore::load() {
  std::error_code error;
  fs::create_directories(options_.folder, error);
  if (error) fail(Code::work_failed, fmt::format("cannot make {}: {}", options_.folder.string(), error.message()));
  ::chmod(options_.folder.c_str(), 0700);
  if (max_bytes_ < stride_ + kSegmentHeaderBytes) {
    fail(Code::work_failed, fmt::format("{} is less than one block takes ({}); raise --prefix-cache-max-bytes",
                                        format_bytes(max_bytes_), format_bytes(stride_)));
  }
  open_index();
  for (const auto& [path, bytes] : segments_in(options_.folder)) load_segment(path);
  if (index_) {  // forget what is gone
    try {
      index_->begin();
      for (const PrefixIndex::Segment& segment : index_->segments()) {
        std::error_code ignored;
        if (!fs::exists(options_.folder / segment.name, ignored)) index_->remove(segment.name);
      }
      index_->commit();
    } catch (const Error&) {
      index_->rollback();
    }
  }
}

// Everything in it can be found in the segments again: what cannot be used is made anew.
void PrefixStore::open_index() {
  const fs::path file = options_.folder / kIndexName;
  for (int attempt = 0; attempt < 2; ++attempt) {
    try {
      index_ = std::make_unique<PrefixIndex>(file);
      index_->segments();
      return;
    } catch (const Error&) {
      index_.reset();
      PrefixIndex::remove_files(file);
    }
  }
}

void PrefixStore::load_segment(const fs::path& path) {
  Segment segment;
  segment.file = SegmentFile::open(path);
  if (!segment.file) return;
  const SegmentHeader& header = segment.file->header();
  if (header.identity != owner_.identity || header.block_bytes != owner_.block_bytes) return;
  {
    const Lock lock(mutex_);
    if (std::ssize(places_) + segment.file->records() > most_blocks_) return;  // the limit was lowered
  }
  const bool appendable = current_ < 0 && segment.file->records() < segment_records() && segment.file->lock();
  const int64_t records = segment.file->records();
  try {
    if (index_) segment.keys = index_->keys(segment.file->name());
  } catch (const Error&) {
    segment.keys.clear();
  }
  if (std::ssize(segment.keys) > records) segment.keys.resize(static_cast<size_t>(records));
  const int64_t indexed = std::ssize(segment.keys);
  while (std::ssize(segment.keys) < records) {
    const std::optional<StoredRecord> stored = segment.file->read_header(std::ssize(segment.keys));
    if (!stored) break;
    segment.keys.push_back(stored->record.key);
  }
  const int32_t number = next_segment_++;
  if (appendable) {
    segment.file->keep_records(std::ssize(segment.keys));
    current_ = number;
  }
  const Lock lock(mutex_);
  if (std::ssize(segment.keys) > indexed) unsaved_[number] = indexed;
  for (int32_t record = 0; const Hash128& key : segment.keys) {
    if (key != Hash128{}) places_.insert_or_assign(key, Place{.segment = number, .record = record});
    ++record;  // of two with one key the later one: the first was found to be damaged
  }
  segments_.emplace(number, std::move(segment));
}

// ---- Writing

// Called with the lock, which is open while the block is copied and written.
void PrefixStore::write(Lock& lock) {
  const Write task = pending_.begin()->second;
  pending_.erase(pending_.begin());
  waiting_.erase(task.block);
  if (places_.contains(task.record.key)) return;
  copying_ = task.block;
  working_ = true;
  lock.unlock();
  owner_.copy(task.block, staging_);
  lock.lock();
  copying_ = -1;
  written_.notify_all();
  lock.unlock();
  try {
    if (options_.before_write) options_.before_write();
    append(task.record);
  } catch (const std::exception& error) {
    give_up(error.what());
  }
  lock.lock();
  working_ = false;
}

void PrefixStore::append(const BlockRecord& record) {
  if (current_ < 0 || segments_.at(current_).file->records() >= segment_records()) next_segment();
  Segment& segment = segments_.at(current_);
  const auto number = static_cast<int32_t>(segment.file->append(record, staging_));
  int64_t unsaved = 0;
  {
    const Lock lock(mutex_);
    segment.keys.push_back(record.key);
    places_.emplace(record.key, Place{.segment = current_, .record = number});
    ++stats_.written_blocks;
    unsaved = std::ssize(segment.keys) - unsaved_.emplace(current_, number).first->second;
  }
  if (unsaved >= kSaveAfter) save();
}

void PrefixStore::next_segment() {
  if (current_ >= 0) segments_.at(current_).file->unlock();
  current_ = -1;
  make_room(kSegmentHeaderBytes + segment_records() * stride_);
  Segment segment;
  segment.file = SegmentFile::create(
      options_.folder,
      {.identity = owner_.identity, .block_bytes = owner_.block_bytes, .label = owner_.label.substr(0, 200)});
  const Lock lock(mutex_);
  current_ = next_segment_++;
  segments_.emplace(current_, std::move(segment));
}

// Removes segments, the least recently used first, until so many bytes more stay within the limit and the disk has
// them.
void PrefixStore::make_room(int64_t bytes) {
  save();  // what was used last
  std::vector<std::pair<fs::path, int64_t>> files = segments_in(options_.folder);
  std::map<std::string, int64_t> used;
  if (index_) {
    try {
      for (const PrefixIndex::Segment& segment : index_->segments()) used[segment.name] = segment.used;
    } catch (const Error&) {
      used.clear();  // any order will do
    }
  }
  const auto last_use = [&](const auto& file) {
    const auto it = used.find(file.first.filename().string());
    return it == used.end() ? 0 : it->second;
  };
  std::ranges::sort(files, {}, last_use);
  int64_t total = bytes;
  for (const auto& file : files) total += file.second;
  const auto disk_left = [&] {
    if (options_.free_bytes) return options_.free_bytes();
    std::error_code error;
    const auto left = fs::space(options_.folder, error).available;
    return error ? 0 : static_cast<int64_t>(left);
  };
  int64_t own = 0;  // blocks that will be known
  {
    const Lock lock(mutex_);
    own = std::ssize(places_) + segment_records();
  }
  for (const auto& [path, size] : files) {
    if (total <= max_bytes_ && own <= most_blocks_ && disk_left() >= bytes + kKeepFree) return;
    if (!remove_segment(path)) continue;  // another process appends to it
    total -= size;
    drop(path.filename().string());
    const Lock lock(mutex_);
    ++stats_.evicted_segments;
    own = std::ssize(places_) + segment_records();
  }
  if (total > max_bytes_) {
    fail(Code::disk_full,
         fmt::format("other processes hold {} in {}", format_bytes(total - bytes), options_.folder.string()));
  }
  if (disk_left() < bytes + kKeepFree) {
    fail(Code::disk_full,
         fmt::format("the disk of {} has {} left", options_.folder.string(), format_bytes(disk_left())));
  }
}

// A segment is gone.
void PrefixStore::drop(const std::string& name) {
  {
    const Lock lock(mutex_);
    const auto it =
        std::ranges::find_if(segments_, [&](const auto& entry) { return entry.second.file->name() == name; });
    if (it != segments_.end()) {
      for (const Hash128& key : it->second.keys) {
        const auto place = places_.find(key);
        if (place != places_.end() && place->second.segment == it->first) places_.erase(place);
      }
      unsaved_.erase(it->first);
      used_.erase(it->first);
      segments_.erase(it);
    }
  }
  if (!index_) return;
  try {
    index_->begin();
    index_->remove(name);
    index_->commit();
  } catch (const Error&) {
    index_->rollback();
  }
}

// Tells the index what it does not know. If that fails, what was written is found in the segments at the next start.
void PrefixStore::save() {
  std::map<int32_t, int64_t> unsaved;
  std::set<int32_t> used;
  std::vector<Place> damaged;
  {
    const Lock lock(mutex_);
    std::swap(unsaved, unsaved_);
    std::swap(used, used_);
    std::swap(damaged, damaged_);
    std::erase_if(damaged, [&](const Place& place) { return !segments_.contains(place.segment); });
    for (const Place& place : damaged) segments_.at(place.segment).keys.at(static_cast<size_t>(place.record)) = {};
  }
  if (!index_) return;
  try {
    index_->begin();
    for (const auto& [number, known] : unsaved) {
      const Segment& segment = segments_.at(number);
      index_->add(segment.file->name(), known, std::span(segment.keys).subspan(static_cast<size_t>(known)));
    }
    for (const Place& place : damaged) {
      index_->add(segments_.at(place.segment).file->name(), place.record, std::array{Hash128{}});
    }
    for (const int32_t number : used) {
      const auto it = segments_.find(number);
      if (it != segments_.end()) index_->use(it->second.file->name());
    }
    index_->commit();
  } catch (const Error&) {
    index_->rollback();
  }
}

}  // namespace autoglm
