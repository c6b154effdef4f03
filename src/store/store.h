// The models on this machine: what is here, and how more come.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "store/catalogue.h"
#include "store/model_name.h"
#include "store/places.h"

namespace autoglm {

/// A model in the store, as its manifest.json tells.
struct StoredModel {
  std::string name;            // as it was pulled: "smollm2:135m", "hf:OWNER/REPO:Q4_K_M"
  std::filesystem::path path;  // what open_model() takes: the GGUF (first part if split) or the folder
  int64_t bytes = 0;           // all files
  std::string sha256;          // of the file; of the list of files and hashes where there are several
  std::string licence;         // empty: not known
};

struct PullOptions {
  int64_t memory_limit = INT64_MAX;  // bounds the automatic choice of a quantization
  bool accept_licence = false;
  /// Asked when a licence must be accepted and accept_licence is false; may be empty (then it is an error).
  std::function<bool(const CatalogueEntry&)> ask;
  /// `what` is being fetched: bytes done of total (-1 unknown). False ends it with Error interrupted.
  std::function<bool(const std::string& what, int64_t done, int64_t total)> progress;
  std::function<void(const std::string&)> note;  // a sentence for the user (which quantization, and why)
};

/// Not thread-safe; several processes may pull at once (a lock file makes them wait for one another).
class Store {
 public:
  explicit Store(Places places) : places_(std::move(places)) {}

  /// Every complete model, by name. A folder without a valid manifest is not listed (clean() removes it).
  std::vector<StoredModel> list() const;
  std::optional<StoredModel> find(const std::string& name) const;
  /// Fetches, verifies and registers; what is already here and whole is returned at once.
  StoredModel pull(const std::string& name, const PullOptions& options);
  /// Removes a model's files. Error model_not_found names the nearest.
  StoredModel remove(const std::string& name);
  /// Leftovers: parts of downloads, folders without a manifest, and everything in the cache. Returns what was (or, with
  /// dry_run, would be) removed, with its size.
  std::vector<std::pair<std::filesystem::path, int64_t>> clean(bool dry_run);

  const Places& places() const { return places_; }

 private:
  StoredModel pull_wheels(const CatalogueEntry& entry, const std::filesystem::path& folder, const PullOptions& options);
  StoredModel pull_hub(const ModelName& name, const std::string& elsewhere, const std::filesystem::path& folder,
                       const PullOptions& options);
  StoredModel pull_url(const ModelName& name, const std::filesystem::path& folder, const PullOptions& options);
  Places places_;
};

/// A path as it is; any other name from the store. Nothing if it is not here yet. Errors: as parse_model_name, and
/// model_not_found for a path that does not exist or a name that nobody knows (naming the nearest).
std::optional<std::filesystem::path> resolve_model(const Store& store, const std::string& name);

}  // namespace autoglm
