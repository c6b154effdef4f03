// Where things lie on disk (XDG base directory specification).
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace autoglm {

/// Folders of one user. They are made when first written to.
struct Places {
  std::filesystem::path models;   // $XDG_DATA_HOME/autoglm/models
  std::filesystem::path cache;    // $XDG_CACHE_HOME/autoglm: packs, prefix cache
  std::filesystem::path results;  // $XDG_STATE_HOME/autoglm
};

/// From the environment; `home` (if not empty, else $AUTOGLM_HOME) moves all three below itself, `cache_dir` (if not
/// empty) the cache alone.
/// A relative XDG value is ignored, as the specification demands.
Places find_places(const std::string& cache_dir = {}, const std::string& home = {});

/// Places::cache alone, which needs less of the environment; nothing if that does not say where.
std::optional<std::filesystem::path> find_cache(const std::string& cache_dir = {}, const std::string& home = {});

/// A model's name as a folder name: every byte but [A-Za-z0-9._-] as %XX. Distinct names never collide.
std::string folder_name(const std::string& model_name);

}  // namespace autoglm
