// The folder that `optimize` writes: model.gguf, autoglm.yaml, report.md, report.html, report.json.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "base/language.h"
#include "optimize/report.h"

namespace autoglm {

/// Usage: construct, work in scratch(), then keep_...() and write(). What an earlier run wrote is replaced file by file
/// when this one is done; until then it stays.
class OptimizeFolder {
 public:
  /// Makes the folder and its scratch. Errors: bad_flag (no folder, its parent is not there, or it holds files that are
  /// not of an earlier run), work_failed.
  explicit OptimizeFolder(std::filesystem::path path);
  /// Removes the scratch, and the folder if it was made here and nothing was written.
  ~OptimizeFolder();
  OptimizeFolder(const OptimizeFolder&) = delete;
  OptimizeFolder& operator=(const OptimizeFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path scratch() const { return path_ / ".work"; }
  std::filesystem::path model() const { return path_ / "model.gguf"; }
  /// A finished form becomes model.gguf.
  void keep_form(const std::filesystem::path& form);
  /// The source becomes model.gguf: another name of the same file where the disk allows it, which takes no space; a
  /// copy only if `copy`. False: neither.
  bool keep_source(const std::filesystem::path& source, bool copy, bool& linked);
  /// There is to be no model in the folder: the configuration names the source where it lies.
  void drop_model();
  void write(std::string_view name, std::string_view text);

 private:
  std::filesystem::path path_;
  bool made_ = false;
  bool kept_ = false;
};

/// Whether `path` may become such a folder: the errors of OptimizeFolder, with nothing made. An earlier run's folder is
/// looked into: what could not be replaced at the end (a folder of the name report.md) is refused now.
void check_optimize_folder(const std::filesystem::path& path);

/// autoglm.yaml: the model, and each setting that is not the default, with its reason.
std::string configuration_yaml(const OptimizeReport& report, Language language);

}  // namespace autoglm
