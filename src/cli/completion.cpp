// Completion scripts from the tables.
#include <fmt/format.h>

#include "cli/help.h"

namespace autoglm {
namespace {

std::vector<std::string> flags_of(const Setting& setting) {
  std::vector<std::string> out = {std::string(setting.flag)};
  if (!setting.short_flag.empty()) out.emplace_back(setting.short_flag);
  if (setting.type == SettingType::boolean) out.push_back(fmt::format("--no-{}", setting.flag.substr(2)));
  return out;
}

std::string words_of(const Setting& setting) {
  std::string words = value_name(setting);
  for (char& c : words) c = c == '|' ? ' ' : c;
  return words;
}

std::vector<const Setting*> settings_of(const Command& command) {
  std::vector<const Setting*> out;
  for (const Setting& setting : settings_table()) {
    if (!setting.hidden && takes(command.name, setting)) out.push_back(&setting);
  }
  return out;
}

std::string command_names() {
  std::string names;
  for (const Command* command : commands()) {
    if (!command->hidden) names += (names.empty() ? "" : " ") + std::string(command->name);
  }
  return names;
}

// For zsh's _arguments: brackets, colons and quotes have a meaning.
std::string zsh_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else if (c == '[' || c == ']' || c == ':' || c == '\\') {
      out += fmt::format("\\{}", c);
    } else {
      out += c;
    }
  }
  return out;
}

std::string zsh_argument(const Setting& setting) {
  switch (setting.type) {
    case SettingType::boolean:
      return "";
    case SettingType::choice:
      return fmt::format(":value:({})", words_of(setting));
    case SettingType::path:
      return ":path:_files";
    default:
      return fmt::format(":{}:", zsh_text(value_name(setting)));
  }
}

std::string zsh_command(const Command& command) {
  std::string out = fmt::format("    {})\n      _arguments -s \\\n", command.name);
  for (const Setting* setting : settings_of(command)) {
    const std::string repeat = setting->type == SettingType::list ? "*" : "";
    for (const std::string& flag : flags_of(*setting)) {
      out += fmt::format("        '{}{}[{}]{}' \\\n", repeat, flag, zsh_text(setting->help.en), zsh_argument(*setting));
    }
  }
  out += "        '--help[show help]' \\\n        '*:argument:_files'\n      ;;\n";
  return out;
}

}  // namespace

std::string bash_completion() {
  std::string values;
  std::string cases;
  for (const Command* command : commands()) {
    std::string all = "--help";
    for (const Setting* setting : settings_of(*command)) {
      for (const std::string& flag : flags_of(*setting)) {
        all += " " + flag;
        if (flag != setting->flag && setting->type == SettingType::boolean) continue;
        if (setting->type == SettingType::choice) {
          values += fmt::format("    {}:{}) COMPREPLY=($(compgen -W \"{}\" -- \"$cur\")); return ;;\n", command->name,
                                flag, words_of(*setting));
        } else if (setting->type == SettingType::path) {
          values += fmt::format("    {}:{}) COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n", command->name, flag);
        }
      }
    }
    cases += fmt::format("    {}) flags=\"{}\" ;;\n", command->name, all);
  }
  return fmt::format(R"(# bash completion for autoglm; written by `autoglm completion bash`
_autoglm() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} command=${{COMP_WORDS[1]}} flags=
  if ((COMP_CWORD == 1)); then
    COMPREPLY=($(compgen -W "{} --help --version" -- "$cur"))
    return
  fi
  case "$command:$prev" in
    completion:completion) COMPREPLY=($(compgen -W "bash zsh" -- "$cur")); return ;;
{}  esac
  case "$command" in
{}  esac
  if [[ $cur == -* ]]; then
    COMPREPLY=($(compgen -W "$flags" -- "$cur"))
  else
    COMPREPLY=($(compgen -f -- "$cur"))
  fi
}}
complete -o filenames -F _autoglm autoglm
)",
                     command_names(), values, cases);
}

std::string zsh_completion() {
  std::string list;
  std::string cases;
  for (const Command* command : commands()) {
    if (command->hidden) continue;
    list += fmt::format("    '{}:{}'\n", command->name, zsh_text(command->summary.en));
    cases += zsh_command(*command);
  }
  return fmt::format(R"(#compdef autoglm
# written by `autoglm completion zsh`
_autoglm() {{
  local -a commands
  commands=(
{})
  if ((CURRENT == 2)); then
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  ((CURRENT--))
  case $command in
{}  esac
}}
_autoglm "$@"
)",
                     list, cases);
}

}  // namespace autoglm
