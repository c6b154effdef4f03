// The settings table and the values that hold in this run.
//
// One row a setting: flags, environment names, YAML keys, `--help`, completion, the man page and docs/CONFIG come from
// it. Precedence: flag > environment > file > profile > machine > default; the profile itself is chosen by the first
// three. A value that is not understood is an Error that names the nearest one; nothing is ever silently changed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/language.h"

namespace autoglm {

enum class SettingType : uint8_t {
  boolean,  // true false on off yes no 1 0; as a flag --name and --no-name
  integer,
  real,      // finite
  size,      // bytes: 512MiB, 1.5GiB, 4096
  duration,  // kept in microseconds: 30s, 1500us, 2m
  choice,
  text,
  path,
  list,  // texts; the flag may be repeated
  ids,   // integers: 1,2,3
};

/// A row of the table.
struct Setting {
  std::string_view key = {};         // "kv_cache.type": its place in a configuration file
  std::string_view flag = {};        // "--kv-type"
  std::string_view short_flag = {};  // "-n", or empty
  SettingType type = SettingType::text;
  std::string_view default_value = {};  // as a person writes it. "auto": decided at run time, and may be asked for by
                                        // that name; empty: none, and `null` means it in a file
  double min = 0;                       // range of a number, of bytes or of microseconds; min == max: any
  double max = 0;
  std::string_view choices = {};   // "a|b|c"; "alias=a" is another name for a
  std::string_view unit = {};      // "tokens", for people
  std::string_view commands = {};  // names, separated by spaces; "*": all
  Text help = {};
  bool hidden = false;  // not shown in help or documents
  /// Values that autoglm tune may try, "a|b|c", none of which answers less exactly than the default; "@threads":
  /// numbers of threads that the machine can run. Empty: not a matter of speed.
  std::string_view tune = {};
};

/// All settings, in the order of the documents.
std::span<const Setting> settings_table();

/// The row of a key, or null.
const Setting* find_setting(std::string_view key);

/// Whether `command` takes this setting as a flag.
bool takes(std::string_view command, const Setting& setting);

/// "AUTOGLM_KV_TYPE". Where commands use one flag for different keys, the longer key's name has the section in it.
std::string environment_name(const Setting& setting);

/// "N", "SIZE", "a|b|c": what stands behind a flag in usage lines. Empty for booleans.
std::string value_name(const Setting& setting);

/// "1 to 1024, or auto": what is accepted, in words.
std::string accepted_values(const Setting& setting, Language language);

/// What a profile stands for: a value for some settings, with its reason.
struct ProfileValue {
  std::string_view profile;
  std::string_view key;
  std::string_view value;
  Text reason;
};
std::span<const ProfileValue> profile_values();

enum class Origin : uint8_t { flag, environment, file, profile, machine, fallback };
std::string_view name(Origin origin);  // fallback is "default"

/// A parsed value. `text` is how a person would write it (aliases resolved).
struct SettingValue {
  bool is_set = false;  // false: none, or automatic and not yet decided
  std::string text;
  int64_t integer = 0;  // boolean, integer, size (bytes), duration (us)
  double real = 0;
  std::vector<std::string> list;
  std::vector<int64_t> ids;
};

/// Parses one value, or says what is wrong with it (`error` is not empty then).
struct ParsedSetting {
  SettingValue value;
  std::string error;
  std::string hint;
};
ParsedSetting parse_setting(const Setting& setting, std::string_view text);

/// The values in force. Not thread-safe while it is being filled; read-only afterwards.
class Settings {
 public:
  /// Every setting at its default.
  Settings();

  /// Sets a value unless a stronger origin has already set it. For a list this replaces what the same origin has said
  /// before unless `append`. `place` is what an error names ("--temp", "file.yaml line 3"). Errors: bad_config for a
  /// file, bad_flag otherwise.
  void set(std::string_view key, std::string_view text, Origin origin, std::string reason, std::string_view place = {},
           bool append = false);

  /// Says that there is none (`null` in a file), unless a stronger origin has set it.
  void clear(std::string_view key, Origin origin, std::string reason);

  /// Reads AUTOGLM_* names from `environment` ("NAME=value" strings). Returns warnings about unknown names.
  std::vector<std::string> load_environment(std::span<const std::string> environment);

  /// Reads a YAML file, or a text with a name for messages. Errors: bad_config with the line; bad_file.
  void load_file(const std::filesystem::path& path);
  void load_yaml(const std::string& text, const std::string& name);

  /// Puts in the values of the chosen profile, with reasons in this language.
  void apply_profile(Language language = Language::en);

  // What a key holds. Asking for an unknown key, by the wrong type, or for a value that is not set is a bug.
  bool is_set(std::string_view key) const;
  bool boolean(std::string_view key) const;
  int64_t integer(std::string_view key) const;
  double real(std::string_view key) const;
  int64_t bytes(std::string_view key) const;
  int64_t microseconds(std::string_view key) const;
  /// choice, text, path: "auto" where it is automatic and undecided, empty where there is none.
  const std::string& text(std::string_view key) const;
  const std::vector<std::string>& list(std::string_view key) const;
  const std::vector<int64_t>& ids(std::string_view key) const;

  // The same, or nothing where it is not set.
  std::optional<int64_t> integer_if(std::string_view key) const;
  std::optional<double> real_if(std::string_view key) const;
  std::optional<int64_t> bytes_if(std::string_view key) const;
  std::optional<std::string> text_if(std::string_view key) const;

  Origin origin(std::string_view key) const;
  const std::string& reason(std::string_view key) const;
  /// A person asked for it: by flag, environment or file.
  bool given(std::string_view key) const;

  /// How it is written behind a flag: "auto", "2GiB", "1,2,3"; empty: there is none. Of a list nothing.
  std::string as_word(std::string_view key) const;
  /// How it is written in a file: "auto", "null", "2GiB", "[a, b]".
  std::string to_yaml_value(std::string_view key) const;
  /// All settings of `keys` as a YAML that load_yaml() takes, each with origin and reason in a comment. Reasons are in
  /// the language that they were given in; that of a default is in this one.
  std::string to_yaml(std::span<const std::string_view> keys, Language language = Language::en) const;

  /// The language of help and hints.
  Language language() const;

 private:
  struct Entry {
    SettingValue value;
    Origin origin = Origin::fallback;
    std::string reason;
  };
  const Entry& entry(std::string_view key) const;
  const SettingValue& typed(std::string_view key, SettingType type, SettingType other) const;
  std::vector<Entry> entries_;  // parallel to the table
};

}  // namespace autoglm
