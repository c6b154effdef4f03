// A conversation at a terminal.
#pragma once

#include "cli/command.h"

namespace autoglm {

/// `chat`, and `run` at a terminal without a prompt. Returns the exit code.
int chat_at_terminal(Context& context);

}  // namespace autoglm
