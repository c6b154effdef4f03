// From the words of the command line to an exit code.
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "cli/bus_error.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/help.h"
#include "cli/machine_settings.h"
#include "cli/parse.h"

namespace autoglm {
namespace {

std::string_view variable(const std::vector<std::string>& environment, std::string_view name) {
  for (const std::string& line : environment) {
    if (line.size() > name.size() && line.starts_with(name) && line[name.size()] == '=') {
      return std::string_view(line).substr(name.size() + 1);
    }
  }
  return "";
}

// POSIX: the first of these that is not empty decides (LC_MESSAGES stands between them).
std::string_view locale(const std::vector<std::string>& environment) {
  for (const std::string_view name : {"LC_ALL", "LC_MESSAGES", "LANG"}) {
    if (const std::string_view value = variable(environment, name); !value.empty()) return value;
  }
  return "";
}

/// How to report before (and whether or not) the command line can be understood.
struct Reporting {
  bool json = false;
  Language language = Language::en;
};

Reporting look_ahead(const std::vector<std::string>& words, const std::vector<std::string>& environment) {
  Reporting out;
  std::string_view lang = variable(environment, "AUTOGLM_LANG");
  if (lang.empty()) lang = locale(environment);
  const std::string_view json = variable(environment, "AUTOGLM_JSON");
  out.json = json == "1" || json == "true" || json == "on" || json == "yes";
  for (size_t i = 0; i < words.size() && words[i] != "--"; ++i) {
    if (words[i] == "--json") out.json = true;
    if (words[i] == "--no-json") out.json = false;
    if (words[i] == "--lang" && i + 1 < words.size()) lang = words[i + 1];
    if (words[i].starts_with("--lang=")) lang = std::string_view(words[i]).substr(7);
  }
  out.language = lang.starts_with("zh") ? Language::zh : Language::en;
  return out;
}

void write_all(int descriptor, const std::string& text) {
  size_t at = 0;
  while (at < text.size()) {
    const ssize_t written = ::write(descriptor, text.data() + at, text.size() - at);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;  // nobody is there to be told
    at += static_cast<size_t>(written);
  }
}

// What can be done about a kind of error, in Chinese; messages and exact hints come from where the error arose.
std::string_view chinese_advice(Code code) {
  switch (code) {
    case Code::bad_flag:
      return "用 `autoglm 命令 --help --lang zh` 查看可用的选项和取值范围";
    case Code::bad_config:
      return "docs/CONFIG.zh.md 列出了所有配置项";
    case Code::model_not_found:
      return "用 `autoglm list --available` 查看可下载的模型，或检查路径";
    case Code::bad_model_file:
      return "文件可能不完整或已损坏，请重新下载";
    case Code::unsupported_model:
      return "此模型使用了尚不支持的结构或类型";
    case Code::bad_file:
      return "请检查文件是否存在以及读取权限";
    case Code::context_exceeded:
      return "缩短提示，或用 --ctx 增大上下文";
    case Code::out_of_memory:
      return "使用更小的模型或上下文；`autoglm inspect MODEL --fit` 显示放得下的组合";
    case Code::disk_full:
      return "请清理磁盘空间；`autoglm clean` 可删除缓存";
    case Code::download_failed:
      return "请检查网络和代理；可设置 HF_ENDPOINT 镜像，或使用 ms: 从 ModelScope 下载";
    case Code::licence_not_accepted:
      return "阅读许可证后加上 --accept-license";
    default:
      return "";
  }
}

/// The hint, or where the error had none of its own, one for its kind.
std::string hint_of(const Error& error) {
  if (!error.hint().empty() || error.code() != Code::bad_model_file) return error.hint();
  return "fetch the file again, or compare its size and SHA-256 with those where it came from";
}

int report(const Error& error, const Reporting& how) {
  const CodeInfo& row = info(error.code());
  const std::string hint = hint_of(error);
  if (how.json) {
    const nlohmann::json object = {{"error", {{"code", row.name}, {"message", error.what()}, {"hint", hint}}}};
    write_all(STDOUT_FILENO, object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
    return row.exit_code;
  }
  const bool zh = how.language == Language::zh;
  std::string text = fmt::format("{} {}\n", zh ? "错误：" : "error:", error.what());
  if (!hint.empty()) text += fmt::format("{} {}\n", zh ? "提示：" : "hint:", hint);
  if (zh && !chinese_advice(error.code()).empty()) text += fmt::format("建议： {}\n", chinese_advice(error.code()));
  write_all(STDERR_FILENO, text);
  return row.exit_code;
}

Error unknown_command(const std::string& word) {
  std::vector<std::string_view> names;
  for (const Command* command : commands()) names.push_back(command->name);
  const std::string near = nearest(word, names.data(), names.size());
  if (word.starts_with("-")) {
    return {Code::bad_flag, fmt::format("the command comes first, before {}", word),
            "autoglm COMMAND [MODEL] [options]"};
  }
  return {Code::bad_flag, fmt::format("there is no command '{}'", word.substr(0, 80)),
          near.empty() ? "`autoglm --help` lists all commands" : fmt::format("did you mean `autoglm {}`?", near)};
}

void apply_flags(const ParsedCommandLine& parsed, Settings& settings) {
  for (const ParsedFlag& flag : parsed.flags) {
    for (size_t i = 0; i < flag.values.size(); ++i) {
      settings.set(flag.setting->key, flag.values[i], Origin::flag, flag.place, flag.place, i > 0);
    }
  }
}

// MODEL may come from --model, the environment or the file: then the arguments start with the next one.
void apply_positionals(const Command& command, const ParsedCommandLine& parsed, Settings& settings, Context& context) {
  size_t next = 0;
  const bool takes_model = !command.positionals.empty() && command.positionals.front().name == "MODEL";
  if (takes_model && settings.is_set("model") && settings.origin("model") == Origin::flag) {
    context.set_argument("MODEL", settings.text("model"));
    next = 1;
  }
  for (const std::string& value : parsed.positionals) {
    if (next == command.positionals.size()) {
      fail(Code::bad_flag, fmt::format("`{}` does not know what to do with '{}'", command.name, value.substr(0, 80)),
           "the model was already given by --model");
    }
    const Positional& positional = command.positionals[next++];
    context.set_argument(positional.name, value);
    if (positional.name == "MODEL") settings.set("model", value, Origin::flag, "argument", "MODEL");
  }
  if (takes_model && !context.has_argument("MODEL") && settings.is_set("model")) {
    context.set_argument("MODEL", settings.text("model"));
  }
  for (const Positional& positional : command.positionals) {
    if (positional.required && !context.has_argument(positional.name)) {
      fail(Code::bad_flag, fmt::format("`{}` needs {}", command.name, positional.name),
           usage_line(command, Language::en));
    }
  }
}

void apply_priority(const Settings& settings) {
  const std::string& priority = settings.text("runtime.priority");
  if (priority == "normal") return;
  if (::setpriority(PRIO_PROCESS, 0, priority == "low" ? 10 : -10) != 0) {
    fail(Code::bad_flag, fmt::format("the priority '{}' was refused: {}", priority, std::strerror(errno)),
         "run as root, give CAP_SYS_NICE, or use --priority normal");
  }
}

int run_command(const Command& command, const std::vector<std::string>& words,
                const std::vector<std::string>& environment, const Interrupt& interrupt, Reporting& how) {
  const ParsedCommandLine parsed = parse_command_line(command, words);
  if (parsed.help) {
    write_all(STDOUT_FILENO, command_page(command, how.language));
    return 0;
  }
  Settings settings;
  apply_flags(parsed, settings);
  const std::vector<std::string> warnings = settings.load_environment(environment);
  if (settings.is_set("config")) settings.load_file(settings.text("config"));
  const Machine machine = read_machine();
  apply_machine(settings, machine, locale(environment));
  settings.apply_profile(settings.boolean("json") ? Language::en : settings.language());
  how = {settings.boolean("json"), settings.language()};
  explain_bus_errors(how.json, how.language);
  set_log_level(log_level(settings.text("log_level")));
  for (const std::string& warning : warnings) log(LogLevel::warn, warning);
  apply_priority(settings);
  Context context(command, settings, machine, interrupt);
  apply_positionals(command, parsed, settings, context);
  return command.run(context);
}

int dispatch(std::vector<std::string> words, const std::vector<std::string>& environment, const Interrupt& interrupt,
             Reporting& how) {
  const auto is_help = [](const std::string& word) { return word == "--help" || word == "-h" || word == "help"; };
  if (words.empty() || is_help(words[0])) {
    for (size_t i = 1; i < words.size(); ++i) {
      if (const Command* command = find_command(words[i])) {
        write_all(STDOUT_FILENO, command_page(*command, how.language));
        return 0;
      }
      if (!words[i].starts_with("-") && words[i - 1] != "--lang") throw unknown_command(words[i]);
    }
    write_all(STDOUT_FILENO, overview_page(how.language));
    return 0;
  }
  if (words[0] == "--version" || words[0] == "-V") words[0] = kVersion.name;
  if (words[0] == "--lang" && words.size() > 2 && is_help(words[2])) {
    write_all(STDOUT_FILENO, overview_page(how.language));
    return 0;
  }
  const Command* command = find_command(words[0]);
  if (command == nullptr) throw unknown_command(words[0]);
  return run_command(*command, {words.begin() + 1, words.end()}, environment, interrupt, how);
}

}  // namespace

int run_program(const std::vector<std::string>& arguments, const std::vector<std::string>& environment,
                const Interrupt& interrupt) {
  Reporting how = look_ahead(arguments, environment);
  try {
    return dispatch(arguments, environment, interrupt, how);
  } catch (const OutputClosed&) {
    return 0;  // the reader has had enough (`| head`): no failure
  } catch (const Error& error) {
    return report(error, how);
  } catch (const std::bad_alloc&) {
    return report({Code::out_of_memory, "the system gave no more memory", "use a smaller model, --ctx or --threads"},
                  how);
  } catch (const std::exception& error) {
    return report({Code::internal, error.what(), "this is a bug: please report it with the command line"}, how);
  }
}

}  // namespace autoglm
