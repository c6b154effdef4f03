#include "optimize/folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <span>
#include <system_error>

#include "base/error.h"
#include "base/file_kind.h"
#include "base/output_file.h"
#include "base/settings.h"

namespace autoglm {
namespace {

namespace fs = std::filesystem;

constexpr const char* kScratch = ".work";
constexpr std::array<std::string_view, 6> kOurs = {"model.gguf",  "autoglm.yaml", "report.md",
                                                   "report.html", "report.json",  kScratch};

[[noreturn]] void fail_system(const std::string& what, const fs::path& path, const std::error_code& error) {
  const bool full = error == std::errc::no_space_on_device || error.value() == EDQUOT;
  fail(full ? Code::disk_full : Code::work_failed, fmt::format("{} {}: {}", what, path.string(), error.message()),
       full ? "free some space on that disk" : "give another folder with -o");
}

[[noreturn]] void fail_system(const std::string& what, const fs::path& path, int error) {
  fail_system(what, path, std::error_code(error, std::generic_category()));
}

// Whether names can be made in a folder, found out without making one. Permissions alone do not say it: root has them
// below /proc too. A file without a name is made where the disk can do that.
void check_writable(const fs::path& folder, const std::string& what, const fs::path& path) {
  if (::faccessat(AT_FDCWD, folder.c_str(), W_OK | X_OK, AT_EACCESS) != 0) fail_system(what, path, errno);
  const int nameless = ::open(folder.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
  if (nameless >= 0) {
    ::close(nameless);
    return;
  }
  if (const int error = errno; error != EOPNOTSUPP && error != EISDIR && error != EINVAL) {
    fail_system(what, path, error);
  }
  std::error_code unknown;
  if (fs::space(folder, unknown).capacity == 0 && !unknown) fail_system(what, path, EROFS);
}

// What lies in a folder of an earlier run must be what that run would have written, or it could not be replaced.
void check_entry(const fs::path& folder, const fs::directory_entry& entry) {
  const std::string name = entry.path().filename().string();
  if (std::ranges::find(kOurs, name) == kOurs.end()) {
    fail(Code::bad_flag, fmt::format("{} holds {}, which optimize did not write", folder.string(), name),
         "give a new folder with -o");
  }
  struct stat status{};
  if (::stat(entry.path().c_str(), &status) != 0) return;  // a link to nothing is replaced
  const bool is_folder = S_ISDIR(status.st_mode);
  const bool wanted_folder = entry.path().filename() == kScratch;
  if (wanted_folder ? is_folder : S_ISREG(status.st_mode)) return;
  fail(Code::bad_flag,
       fmt::format("{} is {}, not {}", entry.path().string(), file_kind(status.st_mode),
                   wanted_folder ? "a folder" : "a file"),
       "give a new folder with -o");
}

std::string one_line(std::string text) {
  std::ranges::replace_if(text, [](char c) { return static_cast<unsigned char>(c) < 0x20; }, ' ');
  return text;
}

}  // namespace

void check_optimize_folder(const fs::path& path) {
  if (path.empty()) fail(Code::bad_flag, "optimize needs a folder to write to", "give one with -o OUT");
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::none) fail_system("cannot make", path, error);  // a name too long, a loop
  if (!fs::exists(status)) {
    const fs::path parent = fs::absolute(path).lexically_normal().parent_path();
    const fs::path above = path.has_filename() ? parent : parent.parent_path();
    if (!fs::is_directory(above, error)) {
      fail(Code::bad_flag, fmt::format("the folder {} is not there", above.string()), "make it first");
    }
    if (fs::is_symlink(fs::symlink_status(path, error))) {
      fail(Code::bad_flag, fmt::format("{} is a link to nothing", path.string()), "give another name with -o");
    }
    check_writable(above, "cannot make", path);
    return;
  }
  if (!fs::is_directory(status)) {
    fail(Code::bad_flag, fmt::format("{} is not a folder", path.string()), "give another name with -o");
  }
  for (const fs::directory_entry& entry : fs::directory_iterator(path, error)) check_entry(path, entry);
  if (error) fail_system("cannot read", path, error);
  check_writable(path, "cannot write to", path);
  const fs::path scratch = path / kScratch;
  if (fs::exists(scratch, error)) check_writable(scratch, "cannot write to", scratch);
}

OptimizeFolder::OptimizeFolder(fs::path path) : path_(std::move(path)) {
  check_optimize_folder(path_);
  std::error_code error;
  made_ = fs::create_directory(path_, error);
  if (error) fail_system("cannot make", path_, error);
  fs::create_directory(scratch(), error);
  if (error) fail_system("cannot make", scratch(), error);
}

OptimizeFolder::~OptimizeFolder() {
  std::error_code ignored;
  fs::remove_all(scratch(), ignored);
  if (made_ && !kept_) fs::remove(path_, ignored);
}

void OptimizeFolder::keep_form(const fs::path& form) {
  std::error_code error;
  fs::rename(form, model(), error);
  if (error) fail_system("cannot rename", form, error);
  kept_ = true;
}

bool OptimizeFolder::keep_source(const fs::path& source, bool copy, bool& linked) {
  std::error_code error;
  linked = false;
  if (!fs::is_regular_file(source, error)) return false;
  if (fs::equivalent(source, model(), error)) {  // it is the model of an earlier run itself
    kept_ = true;
    return true;
  }
  const fs::path fresh = scratch() / "source.gguf";
  fs::remove(fresh, error);
  fs::create_hard_link(fs::canonical(source, error), fresh, error);
  linked = !error;
  if (error && !copy) return false;
  if (error) {
    error.clear();
    fs::copy_file(source, fresh, error);
    if (error) fail_system("cannot copy the source to", fresh, error);
  }
  keep_form(fresh);
  return true;
}

void OptimizeFolder::drop_model() {
  std::error_code ignored;
  fs::remove(model(), ignored);
}

void OptimizeFolder::write(std::string_view name, std::string_view text) {
  OutputFile file(path_ / name);
  file.write(std::as_bytes(std::span(text)));
  file.finish();
  kept_ = true;
}

std::string configuration_yaml(const OptimizeReport& report, Language language) {
  const bool zh = language == Language::zh;
  Settings settings;
  settings.set("model", report.model, Origin::file, "");
  std::string out =
      one_line(fmt::format(fmt::runtime(zh ? "# 由 autoglm optimize 从 {} 写出，目标 {}。说明见 report.html。"
                                           : "# Written by autoglm optimize from {}, goal {}. report.html says why."),
                           report.source, name(report.goal)));
  out += fmt::format("\nmodel: {}\n", settings.to_yaml_value("model"));
  std::map<std::string, std::string> sections;  // lines of each
  for (const SettingRecord& record : report.settings) {
    settings.set(record.key, record.value, Origin::file, "");
    const size_t dot = record.key.find('.');
    const bool nested = dot != std::string::npos;
    const std::string line = fmt::format("{}{}: {}", nested ? "  " : "", record.key.substr(nested ? dot + 1 : 0),
                                         settings.to_yaml_value(record.key));
    const std::string& reason = zh ? record.reason_zh : record.reason_en;
    sections[nested ? record.key.substr(0, dot) : ""] += fmt::format("{:<40} # {}\n", line, one_line(reason));
  }
  for (const auto& [section, lines] : sections) {
    if (!section.empty()) out += section + ":\n";
    out += lines;
  }
  return out;
}

}  // namespace autoglm
