// Help pages in two languages, and what else is written from the tables: completion, man page, docs/CONFIG.
#pragma once

#include <string>

#include "cli/command.h"

namespace autoglm {

/// The page of `autoglm --help`.
std::string overview_page(Language language);

/// The page of `autoglm COMMAND --help`.
std::string command_page(const Command& command, Language language);

/// "autoglm run MODEL [PROMPT] [options]".
std::string usage_line(const Command& command, Language language);

std::string bash_completion();
std::string zsh_completion();
std::string man_page();

/// docs/CONFIG.md or its Chinese twin.
std::string config_document(Language language);

}  // namespace autoglm
