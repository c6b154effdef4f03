// Anthropic's API: what its files share.
#pragma once

#include <memory>
#include <string>

#include "server/exchange.h"
#include "text/chat_template.h"

namespace autoglm {

/// OpenAI's messages (messages.h) from Anthropic's `messages` and `system`, which may be null: blocks of a message
/// become its text, its calls, its thoughts, and messages of the tools. Error bad_request that names the place.
Json openai_messages(const Json& messages, const Json* system);

/// OpenAI's tools from Anthropic's. Error bad_request that names the place.
Json openai_tools(const Json& tools);

std::unique_ptr<Writer> anthropic_writer(std::string path, std::string model, int64_t prompt_tokens, bool stream);

}  // namespace autoglm
