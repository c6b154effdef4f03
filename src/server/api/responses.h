// OpenAI's Responses API: what its files share.
#pragma once

#include <memory>
#include <string>

#include "server/exchange.h"
#include "text/chat_template.h"

namespace autoglm {

/// OpenAI's messages (messages.h) from `input`, a text or a list of items, and `instructions`, which may be empty.
/// Thoughts, text and calls that follow each other are one message of the assistant. Error bad_request with the place.
Json response_messages(const Json& input, const std::string& instructions);

/// Writes a response, or the events that build it. `form` has the members of the response that are known before it is
/// made: what was asked, in its order.
std::unique_ptr<Writer> response_writer(std::string path, Json form, bool stream);

}  // namespace autoglm
