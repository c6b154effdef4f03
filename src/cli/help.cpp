#include "cli/help.h"

#include <fmt/format.h>

#include "cli/display.h"

namespace autoglm {
namespace {

constexpr int kColumns = 100;
constexpr int kIndent = 32;  // where the help of a flag begins

constexpr Text kUsage{"Usage", "用法"};
constexpr Text kCommands{"Commands", "命令"};
constexpr Text kArguments{"Arguments", "参数"};
constexpr Text kOptions{"Options of this command", "本命令的选项"};
constexpr Text kCommon{"Options of every command", "所有命令通用的选项"};
constexpr Text kExamples{"Examples", "示例"};
constexpr Text kOptionsWord{"[options]", "[选项]"};
constexpr Text kDefault{"default", "默认"};
constexpr Text kAccepted{"accepted", "可用值"};
constexpr Text kJson{"Keys of --json", "--json 的键"};
constexpr Text kExit{"Exit codes", "退出码"};
constexpr Text kExitCodes{
    "0 done, 1 the work failed, 2 the command line or configuration is wrong, 3 the input file or model is missing or "
    "bad, 4 it does not fit (memory, context), 130 interrupted",
    "0 完成，1 执行失败，2 命令行或配置有误，3 输入文件或模型缺失或损坏，4 放不下（内存、上下文），130 被中断"};
constexpr Text kPrecedence{
    "An option can also be set in the environment (AUTOGLM_ and the flag in capitals: AUTOGLM_KV_TYPE) or in a YAML "
    "file (--config). Flags go before the environment, the environment before the file, the file before the profile. "
    "`autoglm config` shows what holds and why.",
    "选项也可以用环境变量（AUTOGLM_ 加大写的选项名：AUTOGLM_KV_TYPE）或 YAML 文件（--config）设置。"
    "优先级：选项、环境变量、文件、profile。`autoglm config` 显示当前生效的值及其原因。"};
constexpr Text kModel{
    "MODEL is a path (a GGUF file or a Hugging Face folder), a name of `autoglm list --available` such as "
    "smollm2:135m, hf:OWNER/REPO[@REV][:QUANT or :FILE], ms:OWNER/REPO (ModelScope), or an https:// address of a GGUF.",
    "MODEL 可以是路径（GGUF 文件或 Hugging Face 文件夹）、`autoglm list --available` 中的名称（例如 smollm2:135m）、"
    "hf:OWNER/REPO[@REV][:QUANT 或 :FILE]、ms:OWNER/REPO（ModelScope），或 GGUF 的 https:// 地址。"};

std::string paragraph(std::string_view text, int indent) {
  std::string out;
  for (const std::string& line : wrap(text, kColumns - indent)) {
    out += std::string(static_cast<size_t>(indent), ' ') + line + "\n";
  }
  return out;
}

// Two columns; a left side that is too long gets a line of its own.
std::string entry(const std::string& left, std::string_view right) {
  std::string out = "  " + left;
  const int width = display_width(out);
  const std::vector<std::string> lines = wrap(right, kColumns - kIndent);
  bool first = true;
  if (width + 2 > kIndent) {
    out += "\n";
    first = false;
  }
  for (const std::string& line : lines) {
    const int padding = first ? kIndent - width : kIndent;
    out += std::string(static_cast<size_t>(padding), ' ') + line + "\n";
    first = false;
  }
  return out;
}

std::string flag_column(const Setting& setting) {
  std::string left = setting.short_flag.empty() ? "    " : std::string(setting.short_flag) + ", ";
  const bool on = setting.type == SettingType::boolean && setting.default_value == "true";
  left += on ? fmt::format("--no-{}", setting.flag.substr(2)) : std::string(setting.flag);
  const std::string value = value_name(setting);
  return value.empty() ? left : left + " " + value;
}

std::string flag_help(const Setting& setting, Language language) {
  std::string help(setting.help.in(language));
  if (setting.type == SettingType::boolean) {
    if (setting.default_value != "true") return help;
    return fmt::format("{} ({}: {})", help, kDefault.in(language), language == Language::zh ? "开启" : "on");
  }
  std::string notes;
  if (!setting.default_value.empty()) notes = fmt::format("{}: {}", kDefault.in(language), setting.default_value);
  if (setting.min != setting.max && setting.type != SettingType::ids) {
    notes +=
        fmt::format("{}{}: {}", notes.empty() ? "" : "; ", kAccepted.in(language), accepted_values(setting, language));
  }
  return notes.empty() ? help : fmt::format("{} ({})", help, notes);
}

std::string flags(const Command& command, bool common, Language language) {
  std::string out;
  for (const Setting& setting : settings_table()) {
    if (setting.hidden || !takes(command.name, setting) || (setting.commands == "*") != common) continue;
    out += entry(flag_column(setting), flag_help(setting, language));
  }
  if (common) out += entry("-h, --help", Text{"show this page", "显示本页"}.in(language));
  return out;
}

}  // namespace

std::string usage_line(const Command& command, Language language) {
  std::string out = fmt::format("autoglm {}", command.name);
  for (const Positional& positional : command.positionals) {
    out += positional.required ? fmt::format(" {}", positional.name) : fmt::format(" [{}]", positional.name);
  }
  return out + " " + std::string(kOptionsWord.in(language));
}

std::string overview_page(Language language) {
  std::string out =
      fmt::format("autoglm - {}\n\n",
                  Text{"runs language models fast on small machines", "在小型机器上快速运行语言模型"}.in(language));
  out += fmt::format("{}: autoglm COMMAND [MODEL] {}\n\n{}:\n", kUsage.in(language), kOptionsWord.in(language),
                     kCommands.in(language));
  for (const Command* command : commands()) {
    if (!command->hidden) out += entry(std::string(command->name), command->summary.in(language));
  }
  out += "\n" + paragraph(kModel.in(language), 0);
  out += "\n" + paragraph(Text{"`autoglm COMMAND --help` explains a command and lists its options.",
                               "`autoglm COMMAND --help` 说明一个命令并列出它的选项。"}
                              .in(language),
                          0);
  out += fmt::format("\n{}:\n{}", kExit.in(language), paragraph(kExitCodes.in(language), 2));
  return out;
}

std::string command_page(const Command& command, Language language) {
  std::string out = fmt::format("autoglm {} - {}\n\n{}: {}\n", command.name, command.summary.in(language),
                                kUsage.in(language), usage_line(command, language));
  if (!command.details.in(language).empty()) out += "\n" + paragraph(command.details.in(language), 0);
  if (!command.positionals.empty()) {
    out += fmt::format("\n{}:\n", kArguments.in(language));
    bool model = false;
    for (const Positional& positional : command.positionals) {
      out += entry(std::string(positional.name), positional.help.in(language));
      model = model || positional.name == "MODEL";
    }
    if (model) out += "\n" + paragraph(kModel.in(language), 0);
  }
  const std::string own = flags(command, false, language);
  if (!own.empty()) out += fmt::format("\n{}:\n{}", kOptions.in(language), own);
  out += fmt::format("\n{}:\n{}", kCommon.in(language), flags(command, true, language));
  if (!command.examples.empty()) out += fmt::format("\n{}:\n", kExamples.in(language));
  for (const Example& example : command.examples) {
    out += fmt::format("  {}\n", example.line);
    out += paragraph(example.help.in(language), 6);
  }
  if (!command.json_keys.empty()) {
    out += fmt::format("\n{}:\n{}", kJson.in(language), paragraph(command.json_keys, 2));
  }
  out += fmt::format("\n{}:\n{}", kExit.in(language), paragraph(kExitCodes.in(language), 2));
  return out + "\n" + paragraph(kPrecedence.in(language), 0);
}

}  // namespace autoglm
