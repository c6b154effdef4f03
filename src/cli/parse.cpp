#include "cli/parse.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

namespace autoglm {
namespace {

// CLI11's name of an option: "-n,--max-tokens", "--cache,!--no-cache".
std::string option_names(const Setting& setting) {
  std::string names = setting.short_flag.empty() ? "" : std::string(setting.short_flag) + ",";
  names += setting.flag;
  if (setting.type == SettingType::boolean) names += fmt::format(",!--no-{}", setting.flag.substr(2));
  return names;
}

[[noreturn]] void refuse_unknown(const Command& command, const std::string& word) {
  const std::string flag = word.substr(0, word.find('='));
  std::vector<std::string> known = {"--help"};
  for (const Setting& setting : settings_table()) {
    if (setting.hidden || !takes(command.name, setting)) continue;
    known.emplace_back(setting.flag);
    if (setting.type == SettingType::boolean) known.push_back(fmt::format("--no-{}", setting.flag.substr(2)));
  }
  for (const Setting& setting : settings_table()) {
    if (setting.flag != flag || setting.hidden) continue;
    std::string owners(setting.commands);
    for (size_t at = owners.find(' '); at != std::string::npos; at = owners.find(' ', at + 2))
      owners.replace(at, 1, ", ");
    fail(Code::bad_flag, fmt::format("`{}` takes no {}", command.name, flag), fmt::format("it belongs to: {}", owners));
  }
  const std::vector<std::string_view> views(known.begin(), known.end());
  const std::string near = nearest(flag, views.data(), views.size());
  fail(Code::bad_flag, fmt::format("`{}` has no flag {}", command.name, flag),
       near.empty() ? fmt::format("`autoglm {} --help` lists all of them", command.name)
                    : fmt::format("did you mean {}?", near));
}

}  // namespace

ParsedCommandLine parse_command_line(const Command& command, const std::vector<std::string>& words) {
  CLI::App app;
  app.set_help_flag();  // ours knows two languages
  app.allow_extras();   // collected, to name the nearest flag
  const CLI::Option* help = app.add_flag("-h,--help");
  std::vector<std::pair<const Setting*, CLI::Option*>> options;
  for (const Setting& setting : settings_table()) {
    if (!takes(command.name, setting)) continue;
    CLI::Option* option = setting.type == SettingType::boolean
                              ? app.add_flag(option_names(setting))
                              : app.add_option(option_names(setting), [](const CLI::results_t&) { return true; });
    // One value a flag, and every one kept as it is: CLI11 would otherwise take "[a,b]" apart, or eat what follows.
    option->multi_option_policy(CLI::MultiOptionPolicy::TakeLast)->allow_extra_args(false);
    options.emplace_back(&setting, option);
  }
  std::vector<CLI::Option*> positionals;
  positionals.reserve(command.positionals.size());
  for (const Positional& positional : command.positionals) {
    positionals.push_back(app.add_option(std::string(positional.name), [](const CLI::results_t&) { return true; }));
  }

  // CLI11 takes words from the back, and the next word for the value of "--stop=": here that is the empty text.
  std::vector<std::string> reversed;
  bool flags = true;
  for (const std::string& word : words) {
    flags = flags && word != "--";
    const bool empty_value = flags && word.starts_with("--") && word.ends_with('=');
    reversed.push_back(empty_value ? word.substr(0, word.size() - 1) : word);
    if (empty_value) reversed.emplace_back();
  }
  std::reverse(reversed.begin(), reversed.end());
  try {
    app.parse(reversed);
  } catch (const CLI::ParseError& error) {
    fail(Code::bad_flag, error.what(), fmt::format("see `autoglm {} --help`", command.name));
  }

  ParsedCommandLine parsed;
  parsed.help = help->count() > 0;
  for (const auto& [setting, option] : options) {
    if (option->count() > 0) parsed.flags.push_back({setting, std::string(setting->flag), option->results()});
  }
  for (const CLI::Option* positional : positionals) {
    if (positional->count() > 0) parsed.positionals.push_back(positional->results().front());
  }
  for (const std::string& extra : app.remaining()) {
    if (extra == "--") continue;
    if (extra.size() > 1 && extra.front() == '-') refuse_unknown(command, extra);
    fail(Code::bad_flag, fmt::format("`{}` does not know what to do with '{}'", command.name, extra.substr(0, 80)),
         command.positionals.empty() ? "it takes no arguments" : "put a text with spaces in quotes");
  }
  return parsed;
}

}  // namespace autoglm
