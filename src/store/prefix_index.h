// The index of the prefix cache on disk: which keys lie in which segment, and which segment was used last. SQLite, so
// that processes can share it and a crash leaves it whole; what it has not heard of is found in the segments.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "format/pack_file.h"

struct sqlite3;
struct sqlite3_stmt;

namespace autoglm {

/// Belongs to one thread. Every call may throw Error work_failed (a locked, damaged or full database): the caller
/// rebuilds it, or goes on without.
class PrefixIndex {
 public:
  struct Segment {
    std::string name;
    int64_t used = 0;  // grows with each use of any segment
  };

  /// Makes the file where there is none, with mode 0600. One of another version is emptied.
  explicit PrefixIndex(const std::filesystem::path& file);
  ~PrefixIndex();
  PrefixIndex(const PrefixIndex&) = delete;
  PrefixIndex& operator=(const PrefixIndex&) = delete;

  std::vector<Segment> segments();
  /// Keys of a segment's records, from the first on.
  std::vector<Hash128> keys(const std::string& segment);

  // Between begin() and commit().
  void begin();
  void commit();
  void rollback() noexcept;
  /// Records [first, first + keys.size()) of a segment.
  void add(const std::string& segment, int64_t first, std::span<const Hash128> keys);
  /// It was used just now.
  void use(const std::string& segment);
  void remove(const std::string& segment);

  /// Removes the file and what SQLite keeps beside it.
  static void remove_files(const std::filesystem::path& file);

 private:
  struct Closer {
    void operator()(sqlite3* db) const;
    void operator()(sqlite3_stmt* statement) const;
  };
  using Statement = std::unique_ptr<sqlite3_stmt, Closer>;
  [[noreturn]] void refuse(const char* doing) const;
  void run(const char* sql);
  Statement prepare(const char* sql);
  bool step(const Statement& statement);
  void set_up();

  std::filesystem::path file_;
  std::unique_ptr<sqlite3, Closer> db_;
};

}  // namespace autoglm
