#include "store/hub.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>

#include "base/error.h"
#include "base/ledger.h"
#include "store/download.h"

namespace autoglm {
namespace {

using Json = nlohmann::json;

std::string environment(const char* name, const char* fallback = "") {
  const char* value = std::getenv(name);
  return value != nullptr && value[0] != '\0' ? value : fallback;
}

/// A token is one line of visible characters; anything else would not survive a header.
std::string clean_token(std::string token) {
  std::erase_if(token, [](unsigned char c) { return c <= 0x20 || c >= 0x7f; });
  return token;
}

std::string stored_hugging_face_token() {
  std::string home = environment("HF_HOME");
  if (home.empty()) home = environment("HOME") + "/.cache/huggingface";
  std::ifstream file(home + "/token");
  std::string token;
  std::getline(file, token);
  return token;
}

Json parse_answer(const std::string& text, const std::string& endpoint) {
  Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded() || !json.is_object()) {
    fail(Code::download_failed, fmt::format("{} did not answer with JSON", endpoint),
         "a proxy or a login page may stand between; try the address in a browser");
  }
  return json;
}

std::string text_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

int64_t size_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number_integer() ? found->get<int64_t>() : -1;
}

/// https://huggingface.co/docs/hub/api: /api/models/{repo}/revision/{revision}?blobs=true
std::vector<HubFile> read_hugging_face(const Json& answer, const std::string& base) {
  std::vector<HubFile> files;
  const auto siblings = answer.find("siblings");
  if (siblings == answer.end() || !siblings->is_array()) return files;
  for (const Json& sibling : *siblings) {
    HubFile file;
    file.path = text_of(sibling, "rfilename");
    file.bytes = size_of(sibling, "size");
    file.git_blob = text_of(sibling, "blobId");
    if (const auto lfs = sibling.find("lfs"); lfs != sibling.end() && lfs->is_object()) {
      file.sha256 = text_of(*lfs, "sha256");
      if (file.sha256.empty()) file.sha256 = text_of(*lfs, "oid");
      file.git_blob.clear();  // it is the pointer's, not the content's
    }
    file.url = base + file.path;
    files.push_back(std::move(file));
  }
  return files;
}

/// ModelScope: /api/v1/models/{repo}/repo/files?Revision={revision}&Recursive=true
std::vector<HubFile> read_model_scope(const Json& answer, const std::string& base) {
  std::vector<HubFile> files;
  const auto data = answer.find("Data");
  if (data == answer.end() || !data->is_object() || !data->contains("Files") || !(*data)["Files"].is_array())
    return files;
  for (const Json& entry : (*data)["Files"]) {
    if (text_of(entry, "Type") == "tree") continue;
    HubFile file;
    file.path = text_of(entry, "Path");
    file.bytes = size_of(entry, "Size");
    file.sha256 = text_of(entry, "Sha256");
    file.url = base + file.path;
    files.push_back(std::move(file));
  }
  return files;
}

bool safe_relative(const std::string& path) {
  return !path.empty() && path.front() != '/' && path.find("..") == std::string::npos &&
         path.find('\0') == std::string::npos;
}

// From the best quality down; what stands behind Q8_0 is taken only when nothing else is there.
constexpr std::array kPreference = {"Q8_0", "Q6_K",   "Q5_K_M", "Q5_K_S", "Q5_1", "Q5_0",   "Q4_K_M", "Q4_K_L",
                                    "Q4_1", "Q4_K_S", "IQ4_NL", "IQ4_XS", "Q4_0", "Q3_K_L", "Q3_K_M", "Q3_K_S",
                                    "Q2_K", "BF16",   "F16",    "F32",    "Q4_K", "Q5_K"};

/// The parts of a split GGUF stand under one name: "x-00002-of-00003.gguf" -> "x.gguf".
std::string whole_name(const std::string& path) {
  static const std::regex split("-[0-9]{5}-of-[0-9]{5}\\.gguf$");
  return std::regex_replace(path, split, ".gguf");
}

struct Whole {
  std::vector<HubFile> parts;
  int64_t bytes = 0;
};

std::string list_of(const std::set<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ", ") + word;
  return out;
}

std::vector<HubFile> best_that_fits(const std::map<std::string, Whole>& wholes, int64_t limit, std::string& why) {
  const Whole* smallest = nullptr;
  std::string smallest_name;
  for (const std::string_view quant : kPreference) {
    for (const auto& [name, whole] : wholes) {
      if (quant_of_file(name) != quant) continue;
      // Weights may take up to three quarters of the memory; the rest is for the KV cache and the system.
      if (whole.bytes <= limit / 4 * 3) {
        why = fmt::format("{} ({}) is the best quality that fits in {} of memory", quant, format_bytes(whole.bytes),
                          format_bytes(limit));
        return whole.parts;
      }
      if (smallest == nullptr || whole.bytes < smallest->bytes) {
        smallest = &whole;
        smallest_name = quant;
      }
    }
  }
  if (smallest == nullptr) return {};
  fail(Code::out_of_memory,
       fmt::format("even {} needs {}, and {} of memory are allowed", smallest_name, format_bytes(smallest->bytes),
                   format_bytes(limit)),
       "choose a smaller model (autoglm list --available), or name a file to fetch it all the same");
}

std::vector<HubFile> safetensors_folder(const std::vector<HubFile>& files) {
  std::vector<HubFile> chosen;
  bool weights = false;
  for (const HubFile& file : files) {
    const bool nested = file.path.find('/') != std::string::npos && file.path != "1_Pooling/config.json";
    if (nested) continue;
    const bool tensors = file.path.ends_with(".safetensors");
    const bool small = file.path.ends_with(".json") || file.path.ends_with(".jinja") || file.path == "tokenizer.model";
    weights = weights || tensors;
    if (tensors || small) chosen.push_back(file);
  }
  return weights ? chosen : std::vector<HubFile>();
}

}  // namespace

Hub find_hub(const ModelName& name, const std::string& elsewhere) {
  Hub hub;
  hub.model_scope = name.kind == ModelName::Kind::model_scope;
  if (hub.model_scope) {
    hub.endpoint = environment("MODELSCOPE_ENDPOINT", "https://www.modelscope.cn");
    hub.token = clean_token(environment("MODELSCOPE_API_TOKEN"));
    hub.silent_hint = fmt::format("check the network, or take it from Hugging Face: hf:{}", elsewhere);
  } else {
    hub.endpoint = environment("HF_ENDPOINT", "https://huggingface.co");
    hub.token = clean_token(environment("HF_TOKEN"));
    if (hub.token.empty()) hub.token = clean_token(stored_hugging_face_token());
    hub.silent_hint = fmt::format(
        "set HF_ENDPOINT to a mirror (in China: HF_ENDPOINT=https://hf-mirror.com), or take it from ModelScope: ms:{}",
        elsewhere);
  }
  if (hub.endpoint.find("://") == std::string::npos) hub.endpoint = "https://" + hub.endpoint;
  while (hub.endpoint.ends_with('/')) hub.endpoint.pop_back();
  return hub;
}

std::vector<HubFile> list_hub(const Hub& hub, const ModelName& name, const std::function<bool()>& tick) {
  FetchSpec spec;
  std::string base;
  if (hub.model_scope) {
    const std::string revision = name.revision.empty() ? "master" : name.revision;
    spec.url = fmt::format("{}/api/v1/models/{}/repo/files?Revision={}&Recursive=true", hub.endpoint, name.repository,
                           revision);
    base = fmt::format("{}/models/{}/resolve/{}/", hub.endpoint, name.repository, revision);
  } else {
    const std::string revision = name.revision.empty() ? "main" : name.revision;
    spec.url = fmt::format("{}/api/models/{}/revision/{}?blobs=true", hub.endpoint, name.repository, revision);
    base = fmt::format("{}/{}/resolve/{}/", hub.endpoint, name.repository, revision);
  }
  spec.token = hub.token;
  spec.hint = hub.silent_hint;
  const std::string text = fetch_text(spec, fmt::format("{} has no model {}", hub.endpoint, name.text), tick);
  const Json answer = parse_answer(text, hub.endpoint);
  std::vector<HubFile> files = hub.model_scope ? read_model_scope(answer, base) : read_hugging_face(answer, base);
  std::erase_if(files, [](const HubFile& file) { return !safe_relative(file.path); });
  return files;
}

std::vector<HubFile> choose_files(const std::vector<HubFile>& files, const ModelName& name, int64_t memory_limit,
                                  std::string& why) {
  std::map<std::string, Whole> wholes;
  std::set<std::string> quants;
  for (const HubFile& file : files) {
    if (!file.path.ends_with(".gguf") || file.path.find("mmproj") != std::string::npos) continue;
    Whole& whole = wholes[whole_name(file.path)];
    whole.parts.push_back(file);
    whole.bytes += std::max<int64_t>(file.bytes, 0);
    quants.insert(quant_of_file(file.path));
  }
  for (auto& [path, whole] : wholes) {
    std::sort(whole.parts.begin(), whole.parts.end(),
              [](const HubFile& a, const HubFile& b) { return a.path < b.path; });
  }
  if (!name.choice.empty()) {
    std::string upper = name.choice;
    std::transform(upper.begin(), upper.end(), upper.begin(), [](unsigned char c) { return std::toupper(c); });
    for (const auto& [path, whole] : wholes) {
      if (path == name.choice || whole.parts[0].path == name.choice || quant_of_file(path) == upper) {
        why = fmt::format("{} as asked", path);
        return whole.parts;
      }
    }
    fail(Code::model_not_found, fmt::format("{} has no '{}'", name.repository, name.choice),
         quants.empty() ? "it has no GGUF at all" : fmt::format("it has {}", list_of(quants)));
  }
  if (!wholes.empty()) {
    std::vector<HubFile> best = best_that_fits(wholes, memory_limit, why);
    if (!best.empty()) return best;
    fail(Code::unsupported_model,
         fmt::format("{} has only types that are not built: {}", name.repository, list_of(quants)),
         "look for a Q4_K_M, Q8_0 or BF16 file of the same model");
  }
  std::vector<HubFile> folder = safetensors_folder(files);
  if (folder.empty()) {
    fail(Code::model_not_found, fmt::format("{} has neither a GGUF nor safetensors", name.repository),
         "look for a repository whose name ends in -GGUF");
  }
  why = "it has no GGUF: the safetensors folder is taken whole";
  return folder;
}

}  // namespace autoglm
