#include "tune/tuning_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/settings.h"

namespace autoglm {
namespace {

constexpr int kVersion = 2;
constexpr int kBusyMs = 2000;

constexpr const char* kTables =
    "CREATE TABLE IF NOT EXISTS results(machine TEXT NOT NULL, model TEXT NOT NULL, version TEXT NOT NULL,"
    " workload TEXT NOT NULL, goal TEXT NOT NULL, settings TEXT NOT NULL, gain REAL NOT NULL, gain_low REAL NOT NULL,"
    " gain_high REAL NOT NULL, measurements INTEGER NOT NULL, measured_at INTEGER NOT NULL,"
    " PRIMARY KEY(machine, model, version, workload, goal)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS kernels(cpu TEXT NOT NULL, isa TEXT NOT NULL, threads INTEGER NOT NULL,"
    " version TEXT NOT NULL, type TEXT NOT NULL, rows INTEGER NOT NULL, cols INTEGER NOT NULL,"
    " field TEXT NOT NULL, value INTEGER NOT NULL,"
    " PRIMARY KEY(cpu, isa, threads, type, rows, cols, field)) WITHOUT ROWID";

[[noreturn]] void refuse(sqlite3* db, const char* doing, const std::filesystem::path& file) {
  fail(Code::work_failed,
       fmt::format("cannot {} {}: {}", doing, file.string(), db != nullptr ? sqlite3_errmsg(db) : "no memory"),
       "autoglm clean removes it");
}

/// A prepared statement with texts and numbers bound in order.
class Statement {
 public:
  Statement(sqlite3* db, const char* sql, const std::filesystem::path& file) : db_(db), file_(&file) {
    if (sqlite3_prepare_v2(db, sql, -1, &statement_, nullptr) != SQLITE_OK) refuse(db, "read", file);
  }
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& bind(const std::string& text) {
    sqlite3_bind_text(statement_, ++bound_, text.data(), static_cast<int>(text.size()), SQLITE_TRANSIENT);
    return *this;
  }
  Statement& bind(double number) {
    sqlite3_bind_double(statement_, ++bound_, number);
    return *this;
  }
  Statement& bind(int64_t number) {
    sqlite3_bind_int64(statement_, ++bound_, number);
    return *this;
  }
  bool step() {
    const int result = sqlite3_step(statement_);
    if (result != SQLITE_ROW && result != SQLITE_DONE) refuse(db_, "use", *file_);
    return result == SQLITE_ROW;
  }
  std::string text(int column) const {
    const void* bytes = sqlite3_column_blob(statement_, column);
    return bytes == nullptr ? std::string()
                            : std::string(static_cast<const char*>(bytes),
                                          static_cast<size_t>(sqlite3_column_bytes(statement_, column)));
  }
  double real(int column) const { return sqlite3_column_double(statement_, column); }
  int64_t integer(int column) const { return sqlite3_column_int64(statement_, column); }

 private:
  sqlite3* db_;
  const std::filesystem::path* file_;
  sqlite3_stmt* statement_ = nullptr;
  int bound_ = 0;
};

void run(sqlite3* db, const char* sql, const std::filesystem::path& file) {
  if (sqlite3_exec(db, sql, nullptr, nullptr, nullptr) != SQLITE_OK) refuse(db, "write", file);
}

/// Undone unless committed.
class Transaction {
 public:
  Transaction(sqlite3* db, const std::filesystem::path& file) : db_(db), file_(&file) {
    run(db, "BEGIN IMMEDIATE", file);
  }
  ~Transaction() {
    if (db_ != nullptr) sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr);
  }
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  void commit() {
    run(db_, "COMMIT", *file_);
    db_ = nullptr;
  }

 private:
  sqlite3* db_;
  const std::filesystem::path* file_;
};

// {"runtime.threads": "2"}: nothing that anybody else could have put there may be set by it.
std::optional<std::vector<std::pair<std::string, std::string>>> settings_of(const std::string& text) {
  const nlohmann::json object = nlohmann::json::parse(text, nullptr, false);
  if (!object.is_object()) return std::nullopt;
  std::vector<std::pair<std::string, std::string>> settings;
  for (const auto& [key, value] : object.items()) {
    const Setting* setting = find_setting(key);
    if (setting == nullptr || setting->tune.empty() || !value.is_string()) return std::nullopt;
    if (!parse_setting(*setting, value.get<std::string>()).error.empty()) return std::nullopt;
    settings.emplace_back(key, value.get<std::string>());
  }
  return settings;
}

}  // namespace

void TuningStore::Closer::operator()(sqlite3* db) const { sqlite3_close_v2(db); }

TuningStore::TuningStore(const std::filesystem::path& file) : file_(file) {
  std::error_code error;
  std::filesystem::create_directories(file.parent_path(), error);
  const int made = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (made < 0) {
    fail(Code::work_failed, fmt::format("cannot write {}: {}", file.string(), std::strerror(errno)),
         "name another folder with --cache-dir, or use --no-cache");
  }
  ::close(made);
  sqlite3* db = nullptr;
  const int opened =
      sqlite3_open_v2(file.c_str(), &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, nullptr);
  db_.reset(db);
  if (opened != SQLITE_OK) refuse(db, "open", file_);
  sqlite3_busy_timeout(db, kBusyMs);
  int64_t version = 0;
  {
    Statement statement(db, "PRAGMA user_version", file_);
    if (statement.step()) version = statement.integer(0);
  }
  if (version == kVersion) return;
  run(db, "PRAGMA journal_mode=WAL; BEGIN IMMEDIATE", file_);
  if (version != 0) run(db, "DROP TABLE IF EXISTS results; DROP TABLE IF EXISTS kernels", file_);
  run(db, kTables, file_);
  run(db, fmt::format("PRAGMA user_version={}; COMMIT", kVersion).c_str(), file_);
}

TuningStore::~TuningStore() = default;

void TuningStore::put(const TunedKey& key, const TunedResult& result) {
  nlohmann::json settings = nlohmann::json::object();
  for (const auto& [name, value] : result.settings) settings[name] = value;
  Statement statement(db_.get(), "INSERT OR REPLACE INTO results VALUES(?,?,?,?,?,?,?,?,?,?,?)", file_);
  statement.bind(key.machine).bind(key.model).bind(key.version).bind(key.workload).bind(key.goal);
  statement.bind(settings.dump()).bind(result.gain).bind(result.gain_low).bind(result.gain_high);
  statement.bind(result.measurements).bind(result.measured_at);
  statement.step();
}

std::optional<TunedResult> TuningStore::find(const TunedKey& key) const {
  Statement statement(
      db_.get(),
      "SELECT settings, gain, gain_low, gain_high, measurements, measured_at, workload, goal FROM results"
      " WHERE machine = ?1 AND model = ?2 AND version = ?3 AND (?4 = '' OR workload = ?4 OR (?4 = "
      "'file' AND workload LIKE 'file %'))"
      " AND (?5 = '' OR goal = ?5) ORDER BY measured_at DESC, workload, goal LIMIT 1",
      file_);
  statement.bind(key.machine).bind(key.model).bind(key.version).bind(key.workload).bind(key.goal);
  if (!statement.step()) return std::nullopt;
  const auto settings = settings_of(statement.text(0));
  if (!settings) return std::nullopt;
  TunedResult result;
  result.settings = *settings;
  result.gain = statement.real(1);
  result.gain_low = statement.real(2);
  result.gain_high = statement.real(3);
  result.measurements = statement.integer(4);
  result.measured_at = statement.integer(5);
  result.workload = statement.text(6);
  result.goal = statement.text(7);
  if (!(result.gain >= 1 && std::isfinite(result.gain))) return std::nullopt;
  return result;
}

void TuningStore::put_kernels(const KernelKey& key, const KernelTuning& tuning) {
  Transaction transaction(db_.get(), file_);
  Statement remove(db_.get(), "DELETE FROM kernels WHERE cpu = ? AND isa = ? AND threads = ?", file_);
  remove.bind(key.cpu).bind(key.isa).bind(int64_t{key.threads}).step();
  for (const KernelTuning::Entry& entry : tuning.entries()) {
    for (const TuningField& field : tuning_fields()) {
      Statement insert(db_.get(), "INSERT INTO kernels VALUES(?,?,?,?,?,?,?,?,?)", file_);
      insert.bind(key.cpu).bind(key.isa).bind(int64_t{key.threads}).bind(key.version);
      insert.bind(std::string(info(entry.type).name)).bind(entry.rows).bind(entry.cols);
      insert.bind(std::string(field.name)).bind(int64_t{entry.tuning.*field.value});
      insert.step();
    }
  }
  transaction.commit();
}

KernelTuning TuningStore::find_kernels(const KernelKey& key) const {
  Statement statement(db_.get(),
                      "SELECT type, rows, cols, field, value FROM kernels WHERE cpu = ? AND isa = ? AND threads = ?"
                      " AND version = ?",
                      file_);
  statement.bind(key.cpu).bind(key.isa).bind(int64_t{key.threads}).bind(key.version);
  KernelTuning tuning;
  while (statement.step()) {
    const std::optional<Type> type = type_from_name(statement.text(0));
    if (!type) fail(Code::bad_file, fmt::format("there is no type '{}'", statement.text(0)));
    KernelTuning::Entry entry{.type = *type, .rows = statement.integer(1), .cols = statement.integer(2), .tuning = {}};
    entry.tuning = tuning.of(entry.type, entry.rows, entry.cols);
    const std::string name = statement.text(3);
    const auto field = std::ranges::find(tuning_fields(), std::string_view(name), &TuningField::name);
    if (field == tuning_fields().end()) fail(Code::bad_file, fmt::format("kernels have no '{}'", name));
    const int64_t value = statement.integer(4);
    if (value < field->least || value > field->most) fail(Code::bad_file, fmt::format("'{}' is {}", name, value));
    entry.tuning.*field->value = static_cast<int32_t>(value);
    tuning.set(entry);
  }
  return tuning;
}

std::filesystem::path tuning_store_path(const std::filesystem::path& cache) {
  return cache / "tuning" / "results.sqlite";
}

}  // namespace autoglm
