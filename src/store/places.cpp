#include "store/places.h"

#include <fmt/format.h>

#include <cstdlib>

#include "base/error.h"

namespace autoglm {
namespace {

std::filesystem::path from_environment(const char* variable, const char* below_home) {
  const char* value = std::getenv(variable);
  if (value != nullptr && value[0] == '/') return std::filesystem::path(value) / "autoglm";
  const char* home = std::getenv("HOME");
  if (home == nullptr || home[0] == '\0') {
    fail(Code::bad_config, "neither HOME nor AUTOGLM_HOME is set, so there is no place for models",
         "set AUTOGLM_HOME to a folder");
  }
  return std::filesystem::path(home) / below_home / "autoglm";
}

}  // namespace

Places find_places(const std::string& cache_dir, const std::string& home) {
  Places places;
  const char* variable = std::getenv("AUTOGLM_HOME");
  const std::filesystem::path base(!home.empty() ? home : variable != nullptr ? variable : "");
  if (!base.empty()) {
    places = {base / "models", base / "cache", base / "results"};
  } else {
    places.models = from_environment("XDG_DATA_HOME", ".local/share") / "models";
    places.cache = from_environment("XDG_CACHE_HOME", ".cache");
    places.results = from_environment("XDG_STATE_HOME", ".local/state");
  }
  if (!cache_dir.empty()) places.cache = cache_dir;
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
