#include "store/places.h"

#include <fmt/format.h>

#include <cstdlib>

#include "base/error.h"

namespace autoglm {
namespace {

std::optional<std::filesystem::path> from_environment(const char* variable, const char* below_home) {
  const char* value = std::getenv(variable);
  if (value != nullptr && value[0] == '/') return std::filesystem::path(value) / "autoglm";
  const char* home = std::getenv("HOME");
  if (home == nullptr || home[0] == '\0') return std::nullopt;
  return std::filesystem::path(home) / below_home / "autoglm";
}

std::filesystem::path needed(const std::optional<std::filesystem::path>& place) {
  if (!place) {
    fail(Code::bad_config, "neither HOME nor AUTOGLM_HOME is set, so there is no place for models",
         "set AUTOGLM_HOME to a folder");
  }
  return *place;
}

// --home, or else AUTOGLM_HOME; empty: neither.
std::filesystem::path base_of(const std::string& home) {
  const char* variable = std::getenv("AUTOGLM_HOME");
  return !home.empty() ? home : variable != nullptr ? variable : "";
}

}  // namespace

std::optional<std::filesystem::path> find_cache(const std::string& cache_dir, const std::string& home) {
  if (!cache_dir.empty()) return cache_dir;
  const std::filesystem::path base = base_of(home);
  return base.empty() ? from_environment("XDG_CACHE_HOME", ".cache") : base / "cache";
}

Places find_places(const std::string& cache_dir, const std::string& home) {
  Places places;
  const std::filesystem::path base = base_of(home);
  if (!base.empty()) {
    places.models = base / "models";
    places.results = base / "results";
  } else {
    places.models = needed(from_environment("XDG_DATA_HOME", ".local/share")) / "models";
    places.results = needed(from_environment("XDG_STATE_HOME", ".local/state"));
  }
  places.cache = needed(find_cache(cache_dir, home));
  return places;
}

std::string folder_name(const std::string& model_name) {
  std::string out;
  for (const char c : model_name) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                       c == '-' || (c == '.' && !out.empty());
    if (plain) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

}  // namespace autoglm
