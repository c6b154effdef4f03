#include "format/model_source.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <system_error>
#include <unordered_set>
#include <utility>

#include "base/error.h"
#include "format/gguf_reader.h"
#include "format/hf_config.h"
#include "format/printable.h"
#include "format/safetensors_reader.h"

namespace autoglm {

namespace fs = std::filesystem;

int64_t TensorEntry::elements() const {
  int64_t product = 1;
  for (const int64_t dimension : shape) product *= dimension;
  return product;
}

const TensorEntry* ModelSource::find(std::string_view name) const {
  const auto place = names_.find(name);
  return place == names_.end() ? nullptr : &tensors_[place->second];
}

void ModelSource::add_weight_file(const std::filesystem::path& path, const MappedFile& file) {
  weight_files_.push_back({path, file.stamp(), file.bytes()});
}

void ModelSource::index_tensors() {
  names_.clear();
  names_.reserve(tensors_.size());
  for (size_t i = 0; i < tensors_.size(); ++i) {
    if (!names_.emplace(tensors_[i].name, i).second) {
      fail(Code::bad_model_file, path_.string() + ": tensor " + printable(tensors_[i].name) + " is there twice");
    }
  }
}

std::optional<std::string> ModelSource::file(std::string_view name) const {
  if (container_ == Container::gguf) return std::nullopt;
  AUTOGLM_CHECK(name.find('/') == name.npos, "only names in the model's own folder");
  const fs::path path = path_ / name;
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return std::nullopt;
  const MappedFile mapped(path);
  return std::string(reinterpret_cast<const char*>(mapped.bytes().data()), mapped.bytes().size());
}

namespace {

/// A GGUF file, or all parts of a split one.
class GgufSource : public ModelSource {
 public:
  GgufSource(const fs::path& path, MappedFile file, bool need_weights) {
    container_ = Container::gguf;
    is_mapped_ = true;
    path_ = path;
    GgufContents contents = read_gguf(file.bytes(), path.string(), need_weights);
    // Some tools keep the key after they merged the parts: only more than one part means anything.
    if (contents.metadata.integer("split.count", 1) <= 1) {
      metadata_ = std::move(contents.metadata);
      tensors_ = std::move(contents.tensors);
      files_.push_back(path);
      add_weight_file(path, file);
      mapped_.push_back(std::move(file));
    } else {
      open_parts(path, contents.metadata.integer("split.count", 1), need_weights);
    }
    index_tensors();
    if (!need_weights) return;
    refuse_other_kinds();
    if (tensors_.empty()) {
      fail(Code::bad_model_file, path.string() + ": the file holds no weights, only a vocabulary",
           "`tokenize` and `template` work with it; to run a model give its GGUF file with weights");
    }
  }

 private:
  /// GGUF also holds what belongs to a model but is none ("adapter", "mmproj", "imatrix").
  void refuse_other_kinds() const {
    const std::string kind = metadata_.text("general.type", "model");
    if (kind == "model") return;
    fail(Code::unsupported_model, path_.string() + ": the file is not a model but holds " + printable(kind),
         "give the GGUF file of the model itself");
  }

  void open_parts(const fs::path& path, int64_t count, bool need_weights) {
    const std::vector<std::string> names = gguf_split_names(path.filename().string());
    if (names.size() != static_cast<size_t>(count)) {
      fail(Code::bad_model_file,
           path.string() + ": the file is one of " + std::to_string(count) + " parts, but its name does not say which",
           "parts must be called NAME-00001-of-0000N.gguf and lie in one folder, as they were downloaded");
    }
    int64_t announced = -1;
    for (size_t i = 0; i < names.size(); ++i) {
      const fs::path part = path.parent_path() / names[i];
      std::error_code ignored;
      if (!fs::exists(part, ignored)) {
        fail(Code::model_not_found, "part " + std::to_string(i + 1) + " of the model is missing: " + part.string(),
             "all " + std::to_string(count) + " parts must lie in one folder");
      }
      mapped_.emplace_back(part);
      add_weight_file(part, mapped_.back());
      files_.push_back(part);
      GgufContents contents = read_gguf(mapped_.back().bytes(), part.string(), need_weights);
      if (contents.metadata.integer("split.no", -1) != static_cast<int64_t>(i) ||
          contents.metadata.integer("split.count", -1) != count) {
        fail(Code::bad_model_file, part.string() + ": its metadata says that it is another part than its name says");
      }
      std::ranges::move(contents.tensors, std::back_inserter(tensors_));
      if (i == 0) {
        announced = contents.metadata.integer("split.tensors.count", -1);
        metadata_ = std::move(contents.metadata);
      }
    }
    if (announced >= 0 && !tensors_.empty() && announced != static_cast<int64_t>(tensors_.size())) {
      fail(Code::bad_model_file, path.string() + ": the parts hold " + std::to_string(tensors_.size()) +
                                     " tensors together; the first announces " + std::to_string(announced));
    }
  }

  std::vector<MappedFile> mapped_;
};

/// Names in a folder that end with `ending`, sorted.
std::vector<std::string> names_ending(const fs::path& folder, std::string_view ending) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    std::string name = it->path().filename().string();
    if (name.ends_with(ending)) names.push_back(std::move(name));
  }
  if (error) fail(Code::bad_file, "cannot read the folder '" + folder.string() + "': " + error.message());
  std::ranges::sort(names);
  return names;
}

/// A Hugging Face folder.
class FolderSource : public ModelSource {
 public:
  FolderSource(const fs::path& path, bool need_weights) {
    container_ = Container::safetensors;
    is_mapped_ = true;
    path_ = path;
    if (!need_weights) {
      add_files();
      if (files_.empty()) refuse_folder("it has neither config.json nor a tokenizer");
      return;
    }
    const auto config = file("config.json");
    if (!config) refuse_folder("it has no config.json");
    const HfConfig checked(*config,
                           (path_ / "config.json").string());  // a quantized checkpoint is refused by its method
    open_weights();
    add_files();
    index_tensors();
  }

 private:
  [[noreturn]] void refuse_folder(const std::string& why) const {
    std::string hint = "a model folder has config.json and model.safetensors, as on Hugging Face or ModelScope";
    if (const auto ggufs = names_ending(path_, ".gguf"); !ggufs.empty()) {
      hint = "give the GGUF file itself: " + (path_ / ggufs.front()).string();
    }
    fail(Code::model_not_found, "the folder '" + path_.string() + "' is not a model: " + why, hint);
  }

  void open_weights() {
    if (const auto index = file("model.safetensors.index.json")) {
      open_shards(*index);
      return;
    }
    const std::vector<std::string> names = names_ending(path_, ".safetensors");
    const auto whole = std::ranges::find(names, "model.safetensors");
    if (whole == names.end() && names.size() > 1) {
      refuse_folder("it has " + std::to_string(names.size()) +
                    " safetensors files but no model.safetensors.index.json");
    }
    if (names.empty()) {
      if (!names_ending(path_, ".bin").empty() || !names_ending(path_, ".pth").empty()) {
        fail(Code::unsupported_model, path_.string() + ": the weights are in PyTorch's pickle form, which is not built",
             "use a safetensors or GGUF form of this model");
      }
      refuse_folder("it has no safetensors file");
    }
    add_shard(whole == names.end() ? names.front() : *whole);
  }

  void open_shards(const std::string& index) {
    const std::string where = (path_ / "model.safetensors.index.json").string();
    std::map<std::string, std::unordered_set<std::string>> shards;  // in the order of their names
    for (auto& [tensor, shard] : read_safetensors_index(index, where)) shards[shard].insert(std::move(tensor));
    if (shards.empty()) fail(Code::bad_model_file, where + ": it names no tensor");
    for (auto& [shard, wanted] : shards) {
      std::error_code ignored;
      if (!fs::exists(path_ / shard, ignored)) {
        fail(Code::model_not_found, "a file of the model is missing: " + (path_ / shard).string(),
             "its index names " + std::to_string(shards.size()) + " files; download it");
      }
      const size_t begin = tensors_.size();
      add_shard(shard);
      for (size_t i = begin; i < tensors_.size(); ++i) wanted.erase(tensors_[i].name);
      if (wanted.empty()) continue;
      fail(Code::bad_model_file, where + ": tensor " + printable(*wanted.begin()) + " is not in " + printable(shard));
    }
  }

  void add_shard(const std::string& name) {
    mapped_.emplace_back(path_ / name);
    add_weight_file(path_ / name, mapped_.back());
    std::vector<TensorEntry> tensors = read_safetensors(mapped_.back().bytes(), (path_ / name).string());
    std::ranges::move(tensors, std::back_inserter(tensors_));
  }

  void add_files() {
    for (const std::string_view name :
         {"config.json", "generation_config.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json",
          "chat_template.jinja", "model.safetensors.index.json"}) {
      std::error_code ignored;
      if (fs::exists(path_ / name, ignored)) files_.push_back(path_ / name);
    }
    for (const WeightFile& file : weight_files()) files_.push_back(file.path);
  }

  std::vector<MappedFile> mapped_;
};

[[noreturn]] void refuse_file(const fs::path& path) {
  const std::string name = path.filename().string();
  const std::string folder = path.has_parent_path() ? path.parent_path().string() : ".";
  std::string hint = "models are GGUF files, or folders with config.json and safetensors";
  if (name.ends_with(".safetensors") || name == "config.json" || name.ends_with(".index.json")) {
    hint = "give the folder that holds it: " + folder;
  }
  fail(Code::bad_model_file, path.string() + ": the file does not begin with 'GGUF'", hint);
}

}  // namespace

std::unique_ptr<ModelSource> open_model(const fs::path& path, bool need_weights) {
  std::error_code error;
  if (fs::is_directory(path, error)) return std::make_unique<FolderSource>(path, need_weights);
  MappedFile file(path);
  if (!is_gguf(file.bytes())) refuse_file(path);
  return std::make_unique<GgufSource>(path, std::move(file), need_weights);
}

}  // namespace autoglm
