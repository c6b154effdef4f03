// The man page and docs/CONFIG, from the tables.
#include <fmt/format.h>

#include <algorithm>

#include "cli/help.h"
#include "cli/version.h"

namespace autoglm {
namespace {

std::string roff(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else if (c == '\n') {
      out += "\n";
    } else {
      if ((c == '.' || c == '\'') && (out.empty() || out.back() == '\n')) out += "\\&";
      out += c;
    }
  }
  return out;
}

std::string roff_flag(const Setting& setting) {
  std::string names = fmt::format("\\fB{}\\fR", roff(setting.flag));
  if (!setting.short_flag.empty()) names = fmt::format("\\fB{}\\fR, {}", roff(setting.short_flag), names);
  if (setting.type == SettingType::boolean)
    names += fmt::format(", \\fB\\-\\-no\\-{}\\fR", roff(setting.flag.substr(2)));
  const std::string value = value_name(setting);
  if (!value.empty()) names += fmt::format(" \\fI{}\\fR", roff(value));
  return fmt::format(".TP\n{}\n{}", names, roff(setting.help.en));
}

std::string roff_default(const Setting& setting) {
  return setting.default_value.empty() ? "\n" : fmt::format(" (default: {})\n", roff(setting.default_value));
}

// A cell of a Markdown table.
std::string cell(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '|') out += '\\';
    out += c;
  }
  return out;
}

std::string_view section_of(const Setting& setting) {
  const size_t dot = setting.key.find('.');
  return dot == std::string_view::npos ? std::string_view("general") : setting.key.substr(0, dot);
}

std::string setting_row(const Setting& setting, Language language) {
  const std::string flag =
      fmt::format("{}`{}`", setting.short_flag.empty() ? "" : fmt::format("`{}` ", setting.short_flag), setting.flag);
  const std::string_view commands = setting.commands == "*" ? Text{"all", "全部"}.in(language) : setting.commands;
  const std::string value = setting.default_value.empty() ? "-" : fmt::format("`{}`", setting.default_value);
  return fmt::format("| `{}` | {} | `{}` | {} | {} | {} | {} |\n", setting.key, flag, environment_name(setting),
                     cell(accepted_values(setting, language)), value, commands, cell(setting.help.in(language)));
}

constexpr Text kIntroduction{
    R"(# Configuration

This page is written by `autoglm config --docs en` from the settings table; a test compares them.

Every setting has a key in a YAML file, a flag, and a name in the environment. What holds is said by the first of these
that says something:

1. the flag
2. the environment
3. the file named by `--config`
4. the profile (itself chosen by flag, environment or file)
5. the machine: affinity, quota, memory, language
6. the default

`autoglm config` prints what holds, and for each setting where it comes from and why; its output can be given back:

```sh
autoglm config --threads 2 > my.yaml
autoglm config --config my.yaml
```

A file looks like this:

```yaml
profile: balanced
model: smollm2:135m
server: { host: 127.0.0.1, port: 8080, timeout: 30s, drain_timeout: 30s, api_key_file: null, max_queue: 256 }
batching: { mode: continuous, max_batch_size: 32, timeout_microseconds: 1000, enable_padding: true }
precision: { strategy: dynamic }
kv_cache: { type: q8, max_bytes: auto, persist: true }
runtime: { threads: auto, affinity: auto, priority: normal }
```

- A size takes `KiB`, `MiB` or `GiB`; without a unit it is in bytes.
- A time takes `us`, `ms`, `s` or `m`; it needs its unit.
- A switch is `--name` or `--no-name` as a flag, and `true` or `false` elsewhere.
- An unknown key, flag or value is an error that names the nearest known one. An unknown `AUTOGLM_` name in the environment is a warning; values such as `tcp://...` and names such as `AUTOGLM_SERVICE_HOST`, which Kubernetes sets, are passed over.
- `strategy: dynamic` is another name for `auto`.
- One file may hold settings of all commands; each command reads its own.
)",
    R"(# 配置

本页由 `autoglm config --docs zh` 根据设置表生成；有测试比较二者。

每个设置都有一个 YAML 键、一个命令行选项和一个环境变量名。按以下顺序，最先给出值的来源生效：

1. 命令行选项
2. 环境变量
3. `--config` 指定的文件
4. profile（它本身由选项、环境变量或文件选择）
5. 机器：亲和性、配额、内存、语言
6. 默认值

`autoglm config` 打印生效的值，以及每个设置的来源和原因；其输出可以再读入：

```sh
autoglm config --threads 2 > my.yaml
autoglm config --config my.yaml
```

配置文件的样子：

```yaml
profile: balanced
model: smollm2:135m
server: { host: 127.0.0.1, port: 8080, timeout: 30s, drain_timeout: 30s, api_key_file: null, max_queue: 256 }
batching: { mode: continuous, max_batch_size: 32, timeout_microseconds: 1000, enable_padding: true }
precision: { strategy: dynamic }
kv_cache: { type: q8, max_bytes: auto, persist: true }
runtime: { threads: auto, affinity: auto, priority: normal }
```

- 大小使用 `KiB`、`MiB` 或 `GiB`；没有单位时为字节。
- 时间使用 `us`、`ms`、`s` 或 `m`；必须有单位。
- 开关作为选项时写 `--name` 或 `--no-name`，其他地方写 `true` 或 `false`。
- 未知的键、选项或值是错误，并会指出最接近的已知名称。环境中未知的 `AUTOGLM_` 名称只是警告；Kubernetes 设置的 `tcp://...` 之类的值和 `AUTOGLM_SERVICE_HOST` 之类的名称会被忽略。
- `strategy: dynamic` 是 `auto` 的另一个名称。
- 一个文件可以包含所有命令的设置；每个命令只读取自己的。
)"};

constexpr Text kTableHead{
    "| key | flag | environment | accepted | default | commands | meaning |\n| --- | --- | --- | --- | --- | --- | --- "
    "|\n",
    "| 键 | 选项 | 环境变量 | 可用值 | 默认 | 命令 | 含义 |\n| --- | --- | --- | --- | --- | --- | --- |\n"};

}  // namespace

std::string man_page() {
  std::string out = fmt::format(
      ".\\\" written by `autoglm man`\n.TH AUTOGLM 1 \"\" \"autoglm {}\"\n.SH NAME\nautoglm \\- runs language models "
      "fast "
      "on small machines\n.SH SYNOPSIS\n.B autoglm\n.I COMMAND\n[\\fIMODEL\\fR] [\\fIoptions\\fR]\n.SH COMMANDS\n",
      program_version());
  for (const Command* command : commands()) {
    if (command->hidden) continue;
    out += fmt::format(".SS {}\n.B {}\n.PP\n{}\n", roff(command->name), roff(usage_line(*command, Language::en)),
                       roff(command->summary.en));
    if (!command->details.en.empty()) out += fmt::format(".PP\n{}\n", roff(command->details.en));
    for (const Setting& setting : settings_table()) {
      if (setting.hidden || setting.commands == "*" || !takes(command->name, setting)) continue;
      out += roff_flag(setting) + roff_default(setting);
    }
  }
  out += ".SH OPTIONS OF EVERY COMMAND\n";
  for (const Setting& setting : settings_table()) {
    if (setting.commands == "*" && !setting.hidden) out += roff_flag(setting) + roff_default(setting);
  }
  out += ".SH EXIT STATUS\n";
  for (const auto& [code, meaning] : {std::pair{"0", "done"},
                                      {"1", "the work failed"},
                                      {"2", "the command line or configuration is wrong"},
                                      {"3", "the input file or model is missing or bad"},
                                      {"4", "it does not fit (memory, context)"},
                                      {"130", "interrupted"}}) {
    out += fmt::format(".TP\n{}\n{}\n", code, meaning);
  }
  out +=
      ".SH ENVIRONMENT\nEach option can be set as AUTOGLM_ and its name in capitals.\n.SH SEE ALSO\ndocs/CONFIG.md\n";
  return out;
}

std::string config_document(Language language) {
  std::string out(kIntroduction.in(language));
  std::vector<std::string_view> sections;
  for (const Setting& setting : settings_table()) {
    const std::string_view section = section_of(setting);
    if (!setting.hidden && std::find(sections.begin(), sections.end(), section) == sections.end()) {
      sections.push_back(section);
    }
  }
  for (const std::string_view section : sections) {
    out += fmt::format("\n## {}\n\n{}", section, kTableHead.in(language));
    for (const Setting& setting : settings_table()) {
      if (!setting.hidden && section_of(setting) == section) out += setting_row(setting, language);
    }
  }
  out += "\n## profiles\n\n";
  out += Text{"| profile | key | value | why |\n| --- | --- | --- | --- |\n",
              "| profile | 键 | 值 | 原因 |\n| --- | --- | --- | --- |\n"}
             .in(language);
  for (const ProfileValue& row : profile_values()) {
    out += fmt::format("| `{}` | `{}` | `{}` | {} |\n", row.profile, row.key, row.value, row.reason.in(language));
  }
  out +=
      Text{
          "\n`balanced` changes no default. Besides, `efficient` takes half of the threads that the machine allows and "
          "a "
          "context of 4096 tokens at most, and whatever the profile, `serve` halves the requests at once until they "
          "fit in memory beside a whole context. `autoglm config MODEL --profile NAME` writes out all of it for this "
          "machine and model, with the numbers that it follows from.\n",
          "\n`balanced` 不改变任何默认值。此外，`efficient` 使用本机允许的一半线程，上下文最多 4096 个 token；"
          "无论哪个配置档，`serve` 都会把同时处理的请求数减半，直到它们和一个完整上下文一起放得进内存。"
          "`autoglm config MODEL --profile 名称` 会针对本机和该模型写出全部设置以及所依据的数字。\n"}
          .in(language);
  return out;
}

}  // namespace autoglm
