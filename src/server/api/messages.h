// OpenAI's messages as templates know them, and the prompts that become of them.
#pragma once

#include "server/api/api.h"

namespace autoglm {

/// Checked (check_messages), parts of text joined to one string, "developer" called "system", `reasoning` called
/// reasoning_content, arguments of calls objects. Error bad_request that names the place: a part that is not text, a
/// role that is none.
Json plain_messages(const Json& messages);

/// Whether the last message is the assistant's.
bool ends_with_assistant(const Json& messages);

/// The prompt of OpenAI's messages. `go_on`: the answer goes on with the last message, which is the assistant's: with
/// its text, or with its thought where it has no `content` at all. Errors name `messages`.
Prompt chat_prompt(const Served& served, const Json& messages, PromptOptions options, bool go_on = false);

}  // namespace autoglm
