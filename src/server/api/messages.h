// OpenAI's messages as templates know them.
#pragma once

#include "text/chat_template.h"

namespace autoglm {

/// Checked (check_messages), parts of text joined to one string, "developer" called "system", `reasoning` called
/// reasoning_content, arguments of calls objects. Error bad_request that names the place: a part that is not text, a
/// role that is none.
Json plain_messages(const Json& messages);

}  // namespace autoglm
