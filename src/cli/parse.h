// A command's words, taken apart by CLI11 under the settings table.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"

namespace autoglm {

struct ParsedFlag {
  const Setting* setting = nullptr;
  std::string place;                // "--temp", for messages
  std::vector<std::string> values;  // in the order given
};

struct ParsedCommandLine {
  bool help = false;
  std::vector<ParsedFlag> flags;
  std::vector<std::string> positionals;
};

/// `words` are what follows the command's name. Errors: bad_flag, naming the nearest flag.
ParsedCommandLine parse_command_line(const Command& command, const std::vector<std::string>& words);

}  // namespace autoglm
