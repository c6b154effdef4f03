// `autoglm completion bash|zsh` and `autoglm man`: written from the tables, for installation.
#include "cli/commands.h"
#include "cli/help.h"

namespace autoglm {
namespace {

int run_completion(Context& context) {
  const std::string& shell = context.argument("SHELL");
  if (shell == "bash") {
    context.print(bash_completion());
  } else if (shell == "zsh") {
    context.print(zsh_completion());
  } else {
    fail(Code::bad_flag, "there is no completion for '" + shell.substr(0, 80) + "'", "bash and zsh are known");
  }
  return 0;
}

int run_man(Context& context) {
  context.print(man_page());
  return 0;
}

}  // namespace

const Command kCompletion = {
    .name = "completion",
    .summary = {"completion script for a shell: bash or zsh", "shell 补全脚本：bash 或 zsh"},
    .positionals = {{"SHELL", true, {"bash or zsh", "bash 或 zsh"}}},
    .examples = {{"source <(autoglm completion bash)", {"in this shell", "用于当前 shell"}}},
    .run = run_completion,
};

const Command kMan = {
    .name = "man",
    .summary = {"the manual page, as roff", "手册页（roff 格式）"},
    .examples = {{"autoglm man | man -l -", {"read it", "阅读手册"}}},
    .run = run_man,
};

}  // namespace autoglm
