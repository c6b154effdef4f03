// Configuration: the YAML reader, single values, and that what was understood can be written and read again.
//
// The first byte chooses: even, the rest is a YAML file; odd, the second byte picks a setting and the rest is its
// value, as a flag, the environment or a file would give it.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/settings.h"

namespace {

using namespace autoglm;

void expect(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "config_fuzz: %s\n", what);
  std::abort();
}

std::vector<std::string_view> keys() {
  std::vector<std::string_view> out;
  for (const Setting& setting : settings_table()) {
    if (setting.key != "config") out.push_back(setting.key);
  }
  return out;
}

void check_round_trip(const Settings& settings) {
  const std::string text = settings.to_yaml(keys());
  Settings again;
  again.load_yaml(text, "again");  // throws where it cannot be read: found by the fuzzer
  for (const std::string_view key : keys()) {
    expect(again.to_yaml_value(key) == settings.to_yaml_value(key), "a value changed on its way through YAML");
  }
}

void fuzz_yaml(const std::string& text) {
  Settings settings;
  try {
    settings.load_yaml(text, "fuzz");
    settings.apply_profile();
  } catch (const Error& error) {
    expect(error.code() == Code::bad_config, "another kind of error");
    return;
  }
  check_round_trip(settings);
}

void fuzz_value(const Setting& setting, const std::string& text) {
  const ParsedSetting parsed = parse_setting(setting, text);
  if (!parsed.error.empty() || setting.key == "config") return;
  // What was taken is printed in a form that is taken again and means the same.
  const ParsedSetting again = parse_setting(setting, parsed.value.text);
  expect(again.error.empty(), "the canonical form is refused");
  expect(again.value.text == parsed.value.text, "the canonical form is not stable");
  expect(again.value.integer == parsed.value.integer, "the value changed");
  Settings settings;
  const std::vector<std::string> environment = {environment_name(setting) + "=" + text};
  expect(settings.load_environment(environment).empty(), "a known name warned");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  if (data[0] % 2 == 0) {
    fuzz_yaml(std::string(data + 1, data + size));
  } else {
    const auto table = settings_table();
    fuzz_value(table[data[1] % table.size()], std::string(data + 2, data + size));
  }
  return 0;
}
