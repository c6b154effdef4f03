#include "store/prefix_index.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace autoglm {
namespace {

constexpr int kVersion = 1;
constexpr int kBusyMs = 2000;  // another process commits for a few ms at most

constexpr const char* kTables =
    "CREATE TABLE IF NOT EXISTS segments(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
    " used INTEGER NOT NULL);"
    "CREATE TABLE IF NOT EXISTS blocks(segment INTEGER NOT NULL, number INTEGER NOT NULL, key BLOB NOT NULL,"
    " PRIMARY KEY(segment, number)) WITHOUT ROWID;";

void bind_text(sqlite3_stmt* statement, int at, const std::string& text) {
  sqlite3_bind_text(statement, at, text.data(), static_cast<int>(text.size()), SQLITE_TRANSIENT);
}

}  // namespace

void PrefixIndex::Closer::operator()(sqlite3* db) const { sqlite3_close_v2(db); }
void PrefixIndex::Closer::operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }

PrefixIndex::PrefixIndex(const std::filesystem::path& file) : file_(file) {
  // SQLite gives the files beside it the mode of this one.
  const int made = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (made < 0) fail(Code::work_failed, "cannot write " + file.string() + ": " + std::strerror(errno));
  ::close(made);
  sqlite3* db = nullptr;
  const int opened =
      sqlite3_open_v2(file.c_str(), &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, nullptr);
  db_.reset(db);
  if (opened != SQLITE_OK) refuse("open");
  sqlite3_busy_timeout(db, kBusyMs);
  set_up();
}

PrefixIndex::~PrefixIndex() = default;

void PrefixIndex::set_up() {
  run("PRAGMA cache_size=-1024");  // KiB
  run("PRAGMA journal_mode=WAL");
  run("PRAGMA synchronous=NORMAL");  // after a loss of power the last commits may be missing, and nothing else
  int version = 0;
  {
    const Statement statement = prepare("PRAGMA user_version");
    if (step(statement)) version = sqlite3_column_int(statement.get(), 0);
  }
  if (version == kVersion) return;
  begin();
  if (version != 0) run("DROP TABLE IF EXISTS segments; DROP TABLE IF EXISTS blocks;");
  run(kTables);
  run(("PRAGMA user_version=" + std::to_string(kVersion)).c_str());
  commit();
}

void PrefixIndex::refuse(const char* doing) const {
  fail(Code::work_failed,
       "cannot " + std::string(doing) + " " + file_.string() + ": " + (db_ ? sqlite3_errmsg(db_.get()) : "no memory"));
}

void PrefixIndex::run(const char* sql) {
  if (sqlite3_exec(db_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) refuse("write");
}

PrefixIndex::Statement PrefixIndex::prepare(const char* sql) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v2(db_.get(), sql, -1, &statement, nullptr) != SQLITE_OK) refuse("read");
  return Statement(statement);
}

bool PrefixIndex::step(const Statement& statement) {
  const int result = sqlite3_step(statement.get());
  if (result != SQLITE_ROW && result != SQLITE_DONE) refuse("use");
  return result == SQLITE_ROW;
}

std::vector<PrefixIndex::Segment> PrefixIndex::segments() {
  const Statement statement = prepare("SELECT name, used FROM segments");
  std::vector<Segment> found;
  while (step(statement)) {
    const auto* name = reinterpret_cast<const char*>(sqlite3_column_text(statement.get(), 0));
    found.push_back({.name = name == nullptr ? "" : name, .used = sqlite3_column_int64(statement.get(), 1)});
  }
  return found;
}

std::vector<Hash128> PrefixIndex::keys(const std::string& segment) {
  const Statement statement = prepare(
      "SELECT number, key FROM blocks WHERE segment = (SELECT id FROM segments WHERE name = ?) ORDER BY number");
  bind_text(statement.get(), 1, segment);
  std::vector<Hash128> keys;
  while (step(statement)) {
    const void* key = sqlite3_column_blob(statement.get(), 1);
    // A gap or a key that is none: what follows is found in the segment itself.
    if (sqlite3_column_int64(statement.get(), 0) != std::ssize(keys) || key == nullptr ||
        sqlite3_column_bytes(statement.get(), 1) != sizeof(Hash128)) {
      break;
    }
    std::memcpy(&keys.emplace_back(), key, sizeof(Hash128));
  }
  return keys;
}

void PrefixIndex::begin() { run("BEGIN IMMEDIATE"); }
void PrefixIndex::commit() { run("COMMIT"); }
void PrefixIndex::rollback() noexcept { sqlite3_exec(db_.get(), "ROLLBACK", nullptr, nullptr, nullptr); }

void PrefixIndex::add(const std::string& segment, int64_t first, std::span<const Hash128> keys) {
  use(segment);
  const Statement insert =
      prepare("INSERT OR REPLACE INTO blocks(segment, number, key) SELECT id, ?2, ?3 FROM segments WHERE name = ?1");
  int64_t number = first;
  for (const Hash128& key : keys) {
    bind_text(insert.get(), 1, segment);
    sqlite3_bind_int64(insert.get(), 2, number++);
    sqlite3_bind_blob(insert.get(), 3, &key, sizeof key, SQLITE_TRANSIENT);
    step(insert);
    sqlite3_reset(insert.get());
  }
}

void PrefixIndex::use(const std::string& segment) {
  const Statement statement = prepare(
      "INSERT INTO segments(name, used) VALUES(?1, (SELECT ifnull(max(used), 0) + 1 FROM segments))"
      " ON CONFLICT(name) DO UPDATE SET used = (SELECT max(used) + 1 FROM segments)");
  bind_text(statement.get(), 1, segment);
  step(statement);
}

void PrefixIndex::remove(const std::string& segment) {
  for (const char* sql : {"DELETE FROM blocks WHERE segment = (SELECT id FROM segments WHERE name = ?1)",
                          "DELETE FROM segments WHERE name = ?1"}) {
    const Statement statement = prepare(sql);
    bind_text(statement.get(), 1, segment);
    step(statement);
  }
}

void PrefixIndex::remove_files(const std::filesystem::path& file) {
  for (const char* ending : {"", "-wal", "-shm"}) ::unlink((file.string() + ending).c_str());
}

}  // namespace autoglm
