#include "store/manifest.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace autoglm {
namespace fs = std::filesystem;

namespace {
constexpr int kVersion = 1;
}

std::optional<StoredModel> read_manifest(const fs::path& folder) {
  std::ifstream file(folder / "manifest.json");
  if (!file) return std::nullopt;
  const nlohmann::json json = nlohmann::json::parse(file, nullptr, false);
  if (!json.is_object() || json.value("version", 0) != kVersion) return std::nullopt;
  try {
    StoredModel model;
    model.name = json.at("name").get<std::string>();
    const std::string relative = json.at("path").get<std::string>();
    model.path = relative == "." ? folder : folder / relative;
    model.bytes = json.at("bytes").get<int64_t>();
    model.sha256 = json.at("sha256").get<std::string>();
    model.licence = json.at("licence").get<std::string>();
    std::error_code error;
    if (!fs::exists(model.path, error)) return std::nullopt;
    return model;
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;  // a foreign or damaged manifest: as if the model were not here
  }
}

void write_manifest(const fs::path& folder, const StoredModel& model) {
  const fs::path relative = model.path == folder ? fs::path(".") : model.path.lexically_relative(folder);
  const nlohmann::json json = {{"version", kVersion},  {"name", model.name},     {"path", relative.string()},
                               {"bytes", model.bytes}, {"sha256", model.sha256}, {"licence", model.licence}};
  const fs::path part = folder / "manifest.json.part";
  std::ofstream file(part, std::ios::trunc);
  file << json.dump(2) << '\n';
  file.close();
  if (!file) fail(Code::disk_full, fmt::format("writing {} failed", part.string()), "free some disk space");
  fs::rename(part, folder / "manifest.json");
}

FileLock::FileLock(const fs::path& path) : file_(open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0644)) {
  if (file_ < 0)
    fail(Code::bad_file, fmt::format("cannot write {}", path.string()), "set AUTOGLM_HOME to another folder");
  while (flock(file_, LOCK_EX) != 0 && errno == EINTR) {
  }
}

FileLock::~FileLock() {
  if (file_ >= 0) close(file_);
}

}  // namespace autoglm
