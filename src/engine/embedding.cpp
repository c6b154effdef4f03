#include "engine/embedding.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "base/mmap.h"
#include "text/chat_spec.h"

namespace autoglm {
namespace {

constexpr const char* kNothing = "its files say nothing about pooling";

EmbeddingSpec none(std::string why) { return {.pooling = Pooling::none, .why_none = std::move(why)}; }

Json parsed(const std::string& text) { return Json::parse(text, nullptr, false); }

// "sentence_transformers.models.Pooling" -> "Pooling"
std::string kind_of(const Json& module) {
  const auto type = module.is_object() ? module.find("type") : module.end();
  if (!module.is_object() || type == module.end() || !type->is_string()) return {};
  const auto& name = type->get_ref<const std::string&>();
  return name.substr(name.rfind('.') + 1);
}

// A name of a folder beside the weights, and nothing that leads elsewhere.
bool plain_name(const std::string& name) {
  return !name.empty() && name.size() < 64 && name.front() != '.' &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") == name.npos;
}

// Exactly one mode of 1_Pooling/config.json is on.
EmbeddingSpec read_pooling(const Json& config) {
  if (!config.is_object()) return none("its pooling's config.json is no JSON object");
  EmbeddingSpec spec;
  int on = 0;
  for (const auto& [key, value] : config.items()) {
    if (!key.starts_with("pooling_mode_") || value != true) continue;
    ++on;
    if (key == "pooling_mode_mean_tokens") {
      spec.pooling = Pooling::mean;
    } else if (key == "pooling_mode_cls_token") {
      spec.pooling = Pooling::first;
    } else if (key == "pooling_mode_lasttoken") {
      spec.pooling = Pooling::last;
    } else {
      return none(fmt::format("{} is not supported", key.substr(0, 80)));
    }
  }
  if (on != 1) return none(fmt::format("its pooling's config.json names {} modes", on));
  return spec;
}

void read_cuts(const std::string& text, int64_t hidden, EmbeddingSpec& spec) {
  const Json config = parsed(text);
  if (!config.is_object()) return;
  spec.may_cut = config.value("is_matryoshka", Json()) == true;
  const auto list = config.find("matryoshka_dimensions");
  if (list == config.end() || !list->is_array()) return;
  for (const Json& one : *list) {
    if (one.is_number_integer() && one >= 1 && one <= hidden) spec.cuts.push_back(one.get<int64_t>());
  }
  spec.may_cut = spec.may_cut || !spec.cuts.empty();
}

EmbeddingSpec from_gguf(const Metadata& metadata, const std::string& architecture) {
  // llama.cpp's numbers; it makes every vector's length 1 unless it is told otherwise.
  switch (metadata.integer(architecture + ".pooling_type", 0)) {
    case 0:
      return none(kNothing);
    case 1:
      return {.pooling = Pooling::mean};
    case 2:
      return {.pooling = Pooling::first};
    case 3:
      return {.pooling = Pooling::last};
    default:
      return none("it ranks texts (pooling_type), and that is not supported");
  }
}

std::string text_of(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path, ignored)) return {};
  const MappedFile file(path);
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

}  // namespace

std::string pooling_folder(const std::string& modules) {
  const Json list = parsed(modules);
  if (!list.is_array()) return {};
  for (const Json& module : list) {
    if (kind_of(module) != "Pooling") continue;
    const Json path = module.value("path", Json());
    return path.is_string() && plain_name(path.get<std::string>()) ? path.get<std::string>() : std::string();
  }
  return {};
}

EmbeddingSpec read_embedding_files(const EmbeddingFiles& files, int64_t hidden) {
  if (files.modules.empty()) return none(kNothing);
  const Json modules = parsed(files.modules);
  if (!modules.is_array()) return none("its modules.json is no list");
  bool pools = false;
  bool normalizes = false;
  for (const Json& module : modules) {
    const std::string kind = kind_of(module);
    pools = pools || kind == "Pooling";
    normalizes = normalizes || kind == "Normalize";
    if (kind != "Transformer" && kind != "Pooling" && kind != "Normalize") {
      return none(fmt::format("its modules.json has a module '{}', which is not supported", kind.substr(0, 80)));
    }
  }
  if (!pools) return none(kNothing);
  if (files.pooling.empty()) return none("the config.json of its pooling module is missing");
  EmbeddingSpec spec = read_pooling(parsed(files.pooling));
  spec.normalize = normalizes;
  spec.dimensions = hidden;
  read_cuts(files.config, hidden, spec);
  return spec;
}

EmbeddingSpec embedding_spec(const ModelSource& source, int64_t hidden) {
  if (source.container() == Container::gguf) {
    EmbeddingSpec spec = from_gguf(source.metadata(), architecture(source));
    spec.dimensions = hidden;
    return spec;
  }
  EmbeddingFiles files;
  files.modules = source.file("modules.json").value_or("");
  files.config = source.file("config.json").value_or("");
  const std::string folder = pooling_folder(files.modules);
  if (!folder.empty()) files.pooling = text_of(source.path() / folder / "config.json");
  return read_embedding_files(files, hidden);
}

void finish_embedding(const EmbeddingSpec& spec, int64_t dimensions, std::vector<float>& vector) {
  vector.resize(std::min(vector.size(), static_cast<size_t>(dimensions)));
  if (!spec.normalize) return;
  double squares = 0;
  for (const float value : vector) squares += static_cast<double>(value) * value;
  if (squares == 0) return;
  const double length = std::sqrt(squares);
  for (float& value : vector) value = static_cast<float>(value / length);
}

}  // namespace autoglm
