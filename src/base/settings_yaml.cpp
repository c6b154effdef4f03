// Settings from YAML and back.
//
// The file is read as a stream of events and never becomes a tree: so depth, number of values and aliases are under
// control, and every value knows its line. Only what a configuration needs is taken: maps, scalars, and lists of
// scalars for settings that are lists.
#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <map>
#include <set>
#include <sstream>

#include "base/error.h"
#include "base/mmap.h"
#include "base/settings.h"

namespace autoglm {
namespace {

constexpr size_t kMaxFileBytes = 256 * 1024;
constexpr size_t kMaxDepth = 8;
constexpr size_t kMaxValues = 4096;

bool is_section(std::string_view path) {
  const std::string prefix = std::string(path) + ".";
  return std::any_of(settings_table().begin(), settings_table().end(),
                     [&](const Setting& setting) { return setting.key.starts_with(prefix); });
}

std::string nearest_key(std::string_view path) {
  std::vector<std::string_view> keys;
  for (const Setting& setting : settings_table()) keys.push_back(setting.key);
  std::string near = nearest(path, keys.data(), keys.size());
  if (!near.empty()) return near;
  // A right name in the wrong section: `threads` for `runtime.threads`, or a flag's name.
  const std::string_view last = path.substr(path.rfind('.') + 1);
  for (const Setting& setting : settings_table()) {
    const std::string_view name = setting.key.substr(setting.key.rfind('.') + 1);
    if (name == last || setting.flag.substr(2) == last) return std::string(setting.key);
  }
  return "";
}

/// Takes the parser's events and sets values as they come.
class Reader : public YAML::EventHandler {
 public:
  Reader(Settings& settings, const std::string& name) : settings_(settings), name_(name) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (documents_++ > 0) refuse(mark, "a configuration is one document", "remove the line with ---");
  }
  void OnDocumentEnd() override {}
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    refuse(mark, "aliases are not used in a configuration", "write the value out");
  }
  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override { scalar(mark, "null", true); }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t, const std::string& value) override {
    // Plain scalars carry the tag "?", quoted ones "!": only the former can be YAML's null.
    const bool null = tag == "?" && (value == "~" || value == "null" || value == "Null" || value == "NULL");
    scalar(mark, null ? "null" : value, null);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {
    if (in_list_) refuse(mark, fmt::format("{} is a list of texts, not of maps", path()), "");
    if (expecting_key()) refuse(mark, "a map cannot be a key", "");
    if (levels_.size() >= kMaxDepth) refuse(mark, "the file is nested too deeply", "settings are at most three deep");
    if (!levels_.empty()) {
      if (find_setting(path()) != nullptr) refuse(mark, fmt::format("{} is one value, not a section", path()), "");
      if (!is_section(path())) unknown(mark);
    }
    levels_.push_back({});
  }
  void OnMapEnd() override {
    levels_.pop_back();
    value_done();
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {
    if (levels_.empty() || expecting_key() || in_list_) {
      refuse(mark, "a list is not expected here", "a configuration is lines like `kv_cache: { type: q8 }`");
    }
    const Setting* setting = find_setting(path());
    if (setting == nullptr) unknown(mark);
    if (setting->type != SettingType::list) refuse(mark, fmt::format("{} is one value, not a list", path()), "");
    once(mark);
    in_list_ = true;
    first_of_list_ = true;
  }
  void OnSequenceEnd() override {
    in_list_ = false;
    value_done();
  }

 private:
  struct Level {
    std::string key;
    bool has_key = false;
  };

  [[noreturn]] void refuse(const YAML::Mark& mark, const std::string& message, std::string hint) const {
    fail(Code::bad_config, fmt::format("{}: {}", place(mark), message), std::move(hint));
  }
  [[noreturn]] void unknown(const YAML::Mark& mark) const {
    const std::string near = nearest_key(path());
    refuse(mark, fmt::format("there is no setting {}", path()),
           near.empty() ? "docs/CONFIG.md lists all of them" : fmt::format("did you mean {}?", near));
  }
  std::string place(const YAML::Mark& mark) const { return fmt::format("{} line {}", name_, mark.line + 1); }
  bool expecting_key() const { return !levels_.empty() && !levels_.back().has_key; }
  std::string path() const {
    std::string out;
    for (const Level& level : levels_) out += (out.empty() ? "" : ".") + level.key;
    return out;
  }
  void value_done() {
    if (!levels_.empty()) levels_.back().has_key = false;
  }
  void once(const YAML::Mark& mark) {
    const auto [seen, fresh] = lines_.emplace(path(), mark.line + 1);
    if (!fresh) refuse(mark, fmt::format("{} was already set in line {}", path(), seen->second), "");
  }

  void scalar(const YAML::Mark& mark, const std::string& value, bool null) {
    if (++values_ > kMaxValues) refuse(mark, "the file has too many values", "");
    if (levels_.empty()) {
      if (null) return;  // an empty file
      refuse(mark, "a configuration is a map", "write lines like `kv_cache: { type: q8 }`");
    }
    if (expecting_key()) {
      levels_.back().key = value.substr(0, 200);
      levels_.back().has_key = true;
      return;
    }
    const Setting* setting = find_setting(path());
    if (setting == nullptr && null && is_section(path())) return value_done();  // a section without a line
    if (setting == nullptr && is_section(path())) {
      refuse(mark, fmt::format("{} is a section, not a value", path()), "");
    }
    if (setting == nullptr) unknown(mark);
    if (setting->key == "config") refuse(mark, "a configuration cannot name another one", "");
    if (!in_list_) once(mark);
    const bool append = in_list_ && !first_of_list_;
    first_of_list_ = false;
    const std::string where = fmt::format("{}, {}", place(mark), setting->key);
    if (null && !setting->default_value.empty()) {
      fail(Code::bad_config, fmt::format("{}: a value is needed", where),
           fmt::format("accepted: {}", accepted_values(*setting, Language::en)));
    }
    if (null && in_list_) refuse(mark, fmt::format("{} has an empty item", setting->key), "");
    if (null) {
      settings_.clear(setting->key, Origin::file, place(mark));
    } else {
      settings_.set(setting->key, value, Origin::file, place(mark), where, append);  // a quoted "null" is a text
    }
    if (!in_list_) value_done();
  }

  Settings& settings_;
  const std::string& name_;
  std::vector<Level> levels_;
  std::map<std::string, int> lines_;
  size_t values_ = 0;
  int documents_ = 0;
  bool in_list_ = false;
  bool first_of_list_ = false;
};

bool plain(std::string_view text) {
  constexpr std::string_view kWords[] = {"null", "~", "Null", "NULL"};
  if (text.empty() || std::find(std::begin(kWords), std::end(kWords), text) != std::end(kWords)) return false;
  if (text.front() == '-' || text.back() == ':') return false;
  return text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+-") ==
         std::string_view::npos;
}

std::string yaml_text(std::string_view text) {
  if (plain(text)) return std::string(text);
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += fmt::format("\\{}", c);
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string one_line(std::string text) {
  std::replace_if(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }, ' ');
  return text;
}

}  // namespace

void Settings::load_yaml(const std::string& text, const std::string& name) {
  if (text.size() > kMaxFileBytes) {
    fail(Code::bad_config, fmt::format("{} is too large for a configuration: {} bytes", name, text.size()),
         fmt::format("at most {} are read", kMaxFileBytes));
  }
  if (const size_t nul = text.find('\0'); nul != std::string::npos) {
    fail(Code::bad_config, fmt::format("{} is not a text: it has a NUL character at byte {}", name, nul));
  }
  std::istringstream stream(text);
  try {
    YAML::Parser parser(stream);
    Reader reader(*this, name);
    while (parser.HandleNextDocument(reader)) {
    }
  } catch (const YAML::Exception& error) {
    fail(Code::bad_config, fmt::format("{} line {}: {}", name, error.mark.line + 1, error.msg),
         "the file is not valid YAML there; check colons and indentation");
  }
}

void Settings::load_file(const std::filesystem::path& path) {
  try {
    const MappedFile file(path);
    const auto bytes = file.bytes().first(std::min(file.bytes().size(), kMaxFileBytes + 1));
    load_yaml(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()), path.string());
    // A model beside its configuration moves with it.
    const std::string model = origin("model") == Origin::file && is_set("model") ? text("model") : "";
    if (model.starts_with("./") || model.starts_with("../")) {
      set("model", (path.parent_path() / model).lexically_normal().string(), Origin::file, reason("model"));
    }
  } catch (const Error& error) {
    if (error.code() == Code::bad_config) throw;
    fail(Code::bad_config, fmt::format("--config: {}", error.what()), "check the path of the configuration file");
  }
}

std::string Settings::as_word(std::string_view key) const {
  const SettingValue& value = entry(key).value;
  if (value.is_set) return value.text;
  return find_setting(key)->default_value == "auto" ? "auto" : "";
}

std::string Settings::to_yaml_value(std::string_view key) const {
  const Setting& setting = *find_setting(key);
  const SettingValue& value = entry(key).value;
  if (!value.is_set) return setting.default_value == "auto" ? "auto" : "null";
  if (setting.type == SettingType::list) {
    std::string out;
    for (const std::string& item : value.list) out += (out.empty() ? "" : ", ") + yaml_text(item);
    return "[" + out + "]";
  }
  return yaml_text(value.text);
}

std::string Settings::to_yaml(std::span<const std::string_view> keys, Language language) const {
  std::string out;
  std::vector<std::string_view> open;  // sections whose header has been written
  std::vector<std::string_view> ordered(keys.begin(), keys.end());
  // A section is written once: keys of one section lie together in the table, which the table's test checks.
  for (const std::string_view key : ordered) {
    std::vector<std::string_view> parts;
    size_t at = 0;
    for (size_t dot = key.find('.'); dot != std::string_view::npos; dot = key.find('.', at)) {
      parts.push_back(key.substr(at, dot - at));
      at = dot + 1;
    }
    size_t shared = 0;
    while (shared < open.size() && shared < parts.size() && open[shared] == parts[shared]) ++shared;
    open.resize(shared);
    for (; shared < parts.size(); ++shared) {
      out += fmt::format("{}{}:\n", std::string(2 * shared, ' '), parts[shared]);
      open.push_back(parts[shared]);
    }
    const std::string line =
        fmt::format("{}{}: {}", std::string(2 * parts.size(), ' '), key.substr(at), to_yaml_value(key));
    const Entry& value = entry(key);
    const bool zh = language == Language::zh && value.origin == Origin::fallback;
    out += fmt::format("{:<40} # {}: {}\n", line, autoglm::name(value.origin), zh ? "内置" : one_line(value.reason));
  }
  return out;
}

}  // namespace autoglm
