#include "base/settings.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <set>

#include "support/errors.h"

namespace autoglm {
namespace {

using test::error_of;

Error yaml_error(const std::string& text) {
  return error_of([&] { Settings().load_yaml(text, "f.yaml"); }).value();
}

std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> out(1);
  for (const char c : text) {
    if (c == ' ') {
      out.emplace_back();
    } else {
      out.back() += c;
    }
  }
  return out;
}

// --- the table ---

TEST(SettingsTable, RowsAreWholeAndDistinct) {
  std::set<std::string_view> keys;
  std::set<std::string> names;
  for (const Setting& setting : settings_table()) {
    SCOPED_TRACE(setting.key);
    EXPECT_TRUE(keys.insert(setting.key).second);
    EXPECT_TRUE(names.insert(environment_name(setting)).second) << environment_name(setting);
    EXPECT_TRUE(setting.flag.starts_with("--"));
    EXPECT_FALSE(setting.flag.starts_with("--no-"));
    EXPECT_TRUE(setting.short_flag.empty() || (setting.short_flag.size() == 2 && setting.short_flag[0] == '-'));
    EXPECT_FALSE(setting.help.en.empty());
    EXPECT_FALSE(setting.help.zh.empty());
    EXPECT_FALSE(setting.commands.empty());
    EXPECT_EQ(setting.type == SettingType::choice, !setting.choices.empty());
    EXPECT_FALSE(setting.type == SettingType::boolean && setting.default_value.empty());
    EXPECT_LE(setting.min, setting.max);
  }
}

TEST(SettingsTable, ACommandSeesEachFlagOnce) {
  std::set<std::string> commands = {"hw"};
  for (const Setting& setting : settings_table()) {
    for (const std::string& command : words(setting.commands)) commands.insert(command);
  }
  for (const std::string& command : commands) {
    std::set<std::string_view> flags = {"-h", "--help"};
    for (const Setting& setting : settings_table()) {
      if (!takes(command, setting)) continue;
      EXPECT_TRUE(flags.insert(setting.flag).second) << command << " " << setting.flag;
      if (!setting.short_flag.empty()) {
        EXPECT_TRUE(flags.insert(setting.short_flag).second) << command << setting.short_flag;
      }
    }
  }
}

TEST(SettingsTable, KeysOfASectionLieTogetherAndNoValueIsASection) {
  std::vector<std::string> closed;
  std::string open;
  for (const Setting& setting : settings_table()) {
    const std::string key(setting.key);
    const size_t dot = key.rfind('.');
    const std::string section = dot == std::string::npos ? "" : key.substr(0, dot);
    EXPECT_EQ(find_setting(section), nullptr) << section;
    if (section == open || open.starts_with(section + ".") || section.empty()) continue;
    EXPECT_EQ(std::count(closed.begin(), closed.end(), section), 0) << section;
    closed.push_back(open);
    open = section;
  }
}

TEST(SettingsTable, EnvironmentNamesFollowTheFlag) {
  EXPECT_EQ(environment_name(*find_setting("kv_cache.type")), "AUTOGLM_KV_TYPE");
  EXPECT_EQ(environment_name(*find_setting("runtime.threads")), "AUTOGLM_THREADS");
  EXPECT_EQ(environment_name(*find_setting("home")), "AUTOGLM_HOME");
  EXPECT_EQ(environment_name(*find_setting("context")), "AUTOGLM_CTX");
  EXPECT_EQ(environment_name(*find_setting("perplexity.window")), "AUTOGLM_PERPLEXITY_CTX");
}

TEST(SettingsTable, ProfilesNameKnownKeysAndGoodValues) {
  for (const ProfileValue& row : profile_values()) {
    const Setting* setting = find_setting(row.key);
    ASSERT_NE(setting, nullptr) << row.key;
    EXPECT_EQ(parse_setting(*setting, row.value).error, "") << row.key;
    EXPECT_EQ(parse_setting(*find_setting("profile"), row.profile).error, "");
  }
}

// --- values ---

struct Case {
  const char* key;
  const char* text;
  const char* result;  // canonical text; null: refused
};
class Values : public testing::TestWithParam<Case> {};

TEST_P(Values, Parse) {
  const auto [key, text, result] = GetParam();
  const ParsedSetting parsed = parse_setting(*find_setting(key), text);
  if (result == nullptr) {
    EXPECT_NE(parsed.error, "") << key << " " << text;
  } else {
    EXPECT_EQ(parsed.error, "") << key << " " << text;
    EXPECT_EQ(parsed.value.text, result);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Table, Values,
    testing::Values(Case{"runtime.threads", "4", "4"}, Case{"runtime.threads", "+4", "4"},
                    Case{"runtime.threads", "auto", "auto"}, Case{"runtime.threads", "0", nullptr},
                    Case{"runtime.threads", "-1", nullptr}, Case{"runtime.threads", "100000", nullptr},
                    Case{"runtime.threads", "2.5", nullptr}, Case{"runtime.threads", "", nullptr},
                    Case{"runtime.threads", "4 ", nullptr}, Case{"runtime.threads", "99999999999999999999", nullptr},
                    Case{"sampling.temperature", "0.7", "0.7"}, Case{"sampling.temperature", "1e-1", "0.1"},
                    Case{"sampling.temperature", "nan", nullptr}, Case{"sampling.temperature", "inf", nullptr},
                    Case{"sampling.temperature", "-inf", nullptr}, Case{"sampling.temperature", "0x1p3", nullptr},
                    Case{"sampling.temperature", "1e999", nullptr}, Case{"sampling.temperature", "-0.1", nullptr},
                    Case{"sampling.temperature", "0,7", nullptr}, Case{"sampling.temperature", "--1", nullptr},
                    Case{"sampling.temperature", "", nullptr}, Case{"sampling.top_p", "0", nullptr},
                    Case{"sampling.top_p", "1.0", "1"}, Case{"runtime.memory_limit", "2GiB", "2GiB"},
                    Case{"runtime.memory_limit", "2 GiB", "2GiB"}, Case{"runtime.memory_limit", "1.5GiB", "1536MiB"},
                    Case{"runtime.memory_limit", "67108864", "64MiB"}, Case{"runtime.memory_limit", "2GB", nullptr},
                    Case{"runtime.memory_limit", "-2GiB", nullptr}, Case{"runtime.memory_limit", "1e300GiB", nullptr},
                    Case{"runtime.memory_limit", "1KiB", nullptr}, Case{"runtime.memory_limit", "GiB", nullptr},
                    Case{"runtime.memory_limit", "nanGiB", nullptr}, Case{"server.timeout", "30s", "30s"},
                    Case{"server.timeout", "1500ms", "1500ms"}, Case{"server.timeout", "2m", "2m"},
                    Case{"server.timeout", "30", nullptr}, Case{"server.timeout", "30 seconds", nullptr},
                    Case{"server.drain_timeout", "0", "0s"}, Case{"json", "yes", "true"}, Case{"json", "off", "false"},
                    Case{"json", "maybe", nullptr}, Case{"precision.strategy", "dynamic", "auto"},
                    Case{"precision.strategy", "f32", "f32"}, Case{"precision.strategy", "F32", nullptr},
                    Case{"kv_cache.type", "q4", "q4"}, Case{"kv_cache.type", "q2", nullptr},
                    Case{"logits.tokens", "1,2, 3", "1,2, 3"}, Case{"logits.tokens", "1,,2", nullptr},
                    Case{"logits.tokens", "", nullptr}, Case{"logits.tokens", "1,-2", nullptr},
                    Case{"logits.tokens", "1,99999999999", nullptr}, Case{"config", "", nullptr},
                    Case{"chat.system", "", ""}));

TEST(SettingValue, ErrorsNameTheNearestAndTheRange) {
  EXPECT_EQ(parse_setting(*find_setting("runtime.isa"), "avx51").hint, "did you mean avx512?");
  EXPECT_NE(parse_setting(*find_setting("runtime.threads"), "100000").error.find("1 to 1024"), std::string::npos);
  EXPECT_NE(parse_setting(*find_setting("runtime.memory_limit"), "2GB").hint.find("GiB"), std::string::npos);
}

// --- precedence ---

TEST(Settings, TheStrongestOriginHoldsWhateverTheOrder) {
  const std::vector<std::pair<Origin, const char*>> origins = {{Origin::machine, "3"},
                                                               {Origin::profile, "4"},
                                                               {Origin::file, "5"},
                                                               {Origin::environment, "6"},
                                                               {Origin::flag, "7"}};
  for (const bool backwards : {false, true}) {
    Settings settings;
    EXPECT_FALSE(settings.is_set("runtime.threads"));
    auto order = origins;
    if (backwards) std::reverse(order.begin(), order.end());
    for (size_t i = 0; i < order.size(); ++i) {
      settings.set("runtime.threads", order[i].second, order[i].first, "why");
      EXPECT_EQ(settings.integer("runtime.threads"), backwards ? 7 : static_cast<int64_t>(3 + i));
    }
    EXPECT_EQ(settings.origin("runtime.threads"), Origin::flag);
    EXPECT_TRUE(settings.given("runtime.threads"));
  }
}

TEST(Settings, AWeakerBadValueIsStillRefused) {
  Settings settings;
  settings.set("runtime.threads", "2", Origin::flag, "");
  const std::vector<std::string> environment = {"AUTOGLM_THREADS=many"};
  EXPECT_EQ(error_of([&] { settings.load_environment(environment); })->code(), Code::bad_flag);
}

TEST(Settings, ProfilesAreChosenByTheStrongestAndYieldToValues) {
  Settings settings;
  settings.load_yaml("profile: efficient\nbatching: {max_batch_size: 5}\n", "f.yaml");
  const std::vector<std::string> environment = {"AUTOGLM_PROFILE=performance"};
  settings.load_environment(environment);
  settings.apply_profile();
  EXPECT_EQ(settings.integer("batching.max_batch_size"), 5);
  EXPECT_EQ(settings.integer("server.max_queue"), 1024);
  EXPECT_EQ(settings.origin("server.max_queue"), Origin::profile);
}

TEST(Settings, ListsCollectWithinAnOrigin) {
  Settings settings;
  settings.load_yaml("sampling: {stop: [a, 'b c']}", "f.yaml");
  EXPECT_EQ(settings.list("sampling.stop"), (std::vector<std::string>{"a", "b c"}));
  settings.set("sampling.stop", "[x,y]", Origin::flag, "");
  settings.set("sampling.stop", "\n", Origin::flag, "", {}, true);
  EXPECT_EQ(settings.list("sampling.stop"), (std::vector<std::string>{"[x,y]", "\n"}));
}

// --- environment ---

TEST(Settings, TheEnvironmentIsReadAndUnknownNamesWarn) {
  Settings settings;
  const std::vector<std::string> environment = {"AUTOGLM_TEMP=0.5", "AUTOGLM_TEMPP=1",      "PATH=/bin",
                                                "AUTOGLM_KV_TYPE=", "AUTOGLM_SYSTEM=a=b",   "AUTOGLM_CACHE=off",
                                                "AUTOGLM_CTX=4096", "AUTOGLM_NONSENSE42=1", "AUTOGLM"};
  const auto warnings = settings.load_environment(environment);
  ASSERT_EQ(warnings.size(), 2u);
  EXPECT_NE(warnings[0].find("did you mean AUTOGLM_TEMP?"), std::string::npos);
  EXPECT_EQ(settings.real("sampling.temperature"), 0.5);
  EXPECT_EQ(settings.text("chat.system"), "a=b");
  EXPECT_EQ(settings.text("kv_cache.type"), "q8");
  EXPECT_EQ(settings.origin("kv_cache.type"), Origin::fallback);
  EXPECT_FALSE(settings.boolean("cache.enabled"));
  EXPECT_EQ(settings.integer("perplexity.window"), 512);
}

TEST(Settings, WhatKubernetesPutsIntoTheEnvironmentIsPassedOver) {
  Settings settings;
  const std::vector<std::string> environment = {
      "AUTOGLM_SERVICE_HOST=10.0.0.1",    "AUTOGLM_SERVICE_PORT=8080",
      "AUTOGLM_PORT=tcp://10.0.0.1:8080", "AUTOGLM_PORT_8080_TCP=tcp://10.0.0.1:8080",
      "AUTOGLM_PORT_8080_TCP_PROTO=tcp",  "AUTOGLM_PORT_8080_TCP_ADDR=10.0.0.1",
      "AUTOGLM_WEB_SERVICE_PORT_HTTP=80",
  };
  EXPECT_THAT(settings.load_environment(environment), testing::IsEmpty());
  EXPECT_EQ(settings.integer("server.port"), 8080);
  EXPECT_EQ(settings.origin("server.port"), Origin::fallback);
}

// --- YAML ---

constexpr const char* kExample = R"(profile: balanced            # efficient | balanced | performance
model: smollm2:135m
server:   { host: 127.0.0.1, port: 8080, timeout: 30s, drain_timeout: 30s, api_key_file: null, max_queue: 256 }
batching: { mode: continuous, max_batch_size: 32, timeout_microseconds: 1000, enable_padding: true }   # mode
precision: { strategy: dynamic }
kv_cache: { type: q8, max_bytes: auto, persist: true }
runtime:  { threads: auto, affinity: auto, priority: normal }
)";

TEST(SettingsYaml, TheContractsExampleIsTaken) {
  Settings settings;
  settings.load_yaml(kExample, "f.yaml");
  EXPECT_EQ(settings.text("model"), "smollm2:135m");
  EXPECT_EQ(settings.integer("server.port"), 8080);
  EXPECT_EQ(settings.microseconds("server.timeout"), 30'000'000);
  EXPECT_EQ(settings.text("precision.strategy"), "auto");
  EXPECT_FALSE(settings.is_set("server.api_key_file"));
  EXPECT_EQ(settings.origin("kv_cache.type"), Origin::file);
  EXPECT_EQ(settings.reason("kv_cache.type"), "f.yaml line 6");
}

TEST(SettingsYaml, BlockStyleDeepKeysQuotesAndEmptySections) {
  Settings settings;
  settings.load_yaml("server:\n  deadlines:\n    queue: '5s'\n\nkv_cache:\n\"chat\":\n  system: \"null\"\n", "f.yaml");
  EXPECT_EQ(settings.microseconds("server.deadlines.queue"), 5'000'000);
  Settings().load_yaml("", "f.yaml");
  Settings().load_yaml("# nothing\n", "f.yaml");
  Settings().load_yaml("---\nprofile: balanced\n...\n", "f.yaml");
}

struct BadYaml {
  const char* text;
  const char* message;  // a part of it
  const char* hint;
};
class SettingsYamlRefuses : public testing::TestWithParam<BadYaml> {};

TEST_P(SettingsYamlRefuses, WithPlaceAndHint) {
  const Error error = yaml_error(GetParam().text);
  EXPECT_EQ(error.code(), Code::bad_config) << error.what();
  EXPECT_NE(std::string(error.what()).find(GetParam().message), std::string::npos) << error.what();
  EXPECT_NE(error.hint().find(GetParam().hint), std::string::npos) << error.hint();
}

INSTANTIATE_TEST_SUITE_P(
    Table, SettingsYamlRefuses,
    testing::Values(BadYaml{"profile: balanced\nruntime:\n  thread: 3\n",
                            "f.yaml line 3: there is no setting runtime.thread", "runtime.threads"},
                    BadYaml{"threads: 3\n", "f.yaml line 1: there is no setting threads", "runtime.threads"},
                    BadYaml{"runtime: {threads: many}\n", "line 1, runtime.threads: 'many' is not a whole number", ""},
                    BadYaml{"sampling:\n  temperature: .nan\n", "line 2, sampling.temperature: '.nan'", ""},
                    BadYaml{"kv_cache: q8\n", "kv_cache is a section, not a value", ""},
                    BadYaml{"profile: {a: b}\n", "profile is one value, not a section", ""},
                    BadYaml{"profile: [a]\n", "profile is one value, not a list", ""},
                    BadYaml{"profile: efficient\nprofile: balanced\n", "profile was already set in line 1", ""},
                    BadYaml{"- a\n- b\n", "a list is not expected here", ""},
                    BadYaml{"hello\n", "a configuration is a map", ""},
                    BadYaml{"a: &x {b: 1}\n", "there is no setting a", ""},
                    BadYaml{"profile: &x balanced\nlang: *x\n", "aliases are not used", ""},
                    BadYaml{"profile: null\n", "profile: a value is needed", "efficient"},
                    BadYaml{"profile: balanced\n---\nlang: en\n", "one document", ""},
                    BadYaml{"profile: \"balanced", "f.yaml line", "not valid YAML"},
                    BadYaml{"runtime: {threads: 3\n", "f.yaml line", "not valid YAML"},
                    BadYaml{"config: other.yaml\n", "cannot name another", ""},
                    BadYaml{"? [a, b]\n: c\n", "a list is not expected here", ""},
                    BadYaml{"sampling: {stop: [[a]]}\n", "a list is not expected here", ""},
                    BadYaml{"sampling: {stop: [{a: b}]}\n", "a list of texts", ""}));

TEST(SettingsYaml, HostileFilesAreRefusedQuickly) {
  EXPECT_EQ(yaml_error(std::string(100'000, '[')).code(), Code::bad_config);
  EXPECT_EQ(yaml_error(std::string(100'000, '{')).code(), Code::bad_config);
  std::string deep;
  for (int i = 0; i < 1000; ++i) deep += std::string(static_cast<size_t>(i), ' ') + "server:\n";
  EXPECT_EQ(yaml_error(deep.substr(0, 200'000)).code(), Code::bad_config);
  EXPECT_NE(std::string(yaml_error(std::string(300'000, ' ')).what()).find("too large"), std::string::npos);
  EXPECT_NE(std::string(yaml_error(std::string("a: \0b", 5)).what()).find("NUL"), std::string::npos);
  std::string many = "sampling: {stop: [";
  for (int i = 0; i < 5000; ++i) many += "a,";
  EXPECT_NE(std::string(yaml_error(many + "]}").what()).find("too many"), std::string::npos);
}

TEST(SettingsYaml, WhatIsPrintedCanBeGivenBack) {
  Settings settings;
  settings.load_yaml(kExample, "f.yaml");
  settings.set("chat.system", "say \"hi\"\n\t\\ # : 中文 \x7f", Origin::flag, "two\nlines");
  settings.set("sampling.stop", "null", Origin::flag, "");
  settings.set("sampling.stop", "- a: b", Origin::flag, "", {}, true);
  settings.set("runtime.memory_limit", "1.5GiB", Origin::machine, "x");
  settings.set("server.deadlines.decode", "90s", Origin::environment, "x");
  settings.set("store.pull", "never", Origin::environment, "x");
  settings.set("home", "~", Origin::environment, "x");
  std::vector<std::string_view> keys;
  for (const Setting& setting : settings_table()) {
    if (setting.key != "config") keys.push_back(setting.key);
  }
  const std::string text = settings.to_yaml(keys);
  Settings again;
  again.load_yaml(text, "again.yaml");
  for (const std::string_view key : keys) {
    EXPECT_EQ(again.to_yaml_value(key), settings.to_yaml_value(key)) << key;
    EXPECT_EQ(again.is_set(key), settings.is_set(key)) << key;
  }
  EXPECT_EQ(again.list("sampling.stop"), (std::vector<std::string>{"null", "- a: b"}));
  EXPECT_EQ(again.text("chat.system"), settings.text("chat.system"));
}

TEST(SettingsYaml, AFileIsNamedWhenItCannotBeRead) {
  for (const char* path : {"/nonexistent/f.yaml", "/tmp", "/dev/zero"}) {
    EXPECT_ERROR(Settings().load_file(path), Code::bad_config, path);
  }
}

TEST(SettingsDeathTest, AskingForWhatIsNotThereIsABug) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  const Settings settings;
  EXPECT_DEATH(settings.integer("no.such"), "no setting is called");
  EXPECT_DEATH(settings.integer("lang"), "another type");
  EXPECT_DEATH(settings.integer("runtime.threads"), "undecided");
}

}  // namespace
}  // namespace autoglm
