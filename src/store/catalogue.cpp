#include "store/catalogue.h"

#include <yaml-cpp/yaml.h>

#include "store/catalogue_data.h"

namespace autoglm {
namespace {

std::string text(const YAML::Node& node, const char* key) { return node[key] ? node[key].as<std::string>() : ""; }

std::vector<std::string> texts(const YAML::Node& node, const char* key) {
  return node[key] ? node[key].as<std::vector<std::string>>() : std::vector<std::string>();
}

std::vector<CatalogueEntry> parse() {
  std::vector<CatalogueEntry> entries;
  for (const YAML::Node& node : YAML::Load(kCatalogueYaml)["models"]) {
    CatalogueEntry entry;
    entry.name = text(node, "name");
    entry.title = text(node, "title");
    entry.languages = texts(node, "languages");
    entry.licence = text(node, "licence");
    entry.licence_url = text(node, "licence_url");
    entry.must_accept = node["must_accept"] && node["must_accept"].as<bool>();
    entry.quant = text(node, "quant");
    entry.bytes = node["bytes"].as<int64_t>();
    entry.pypi = texts(node, "pypi");
    entry.member = text(node, "member");
    entry.sha256 = text(node, "sha256");
    entry.hugging_face = text(node, "hf");
    entry.model_scope = text(node, "ms");
    entries.push_back(std::move(entry));
  }
  return entries;
}

}  // namespace

const std::vector<CatalogueEntry>& catalogue() {
  static const std::vector<CatalogueEntry> entries = parse();
  return entries;
}

const CatalogueEntry* find_in_catalogue(std::string_view name) {
  for (const CatalogueEntry& entry : catalogue()) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

}  // namespace autoglm
