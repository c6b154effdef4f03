// Conversations from outside (a file, a request body): read and checked before a template sees them.
#pragma once

#include <string_view>

#include "text/chat_template.h"

namespace autoglm {

/// Nesting of messages and tools; below TemplateLimits::depth, so that a template can wrap what it gets.
constexpr int kDeepestChatJson = 48;

/// The messages of a JSON text: a list, or an object with "messages" (as a request body has).
/// Error bad_request names the place: "messages[2].content[0].text must be a string".
Json parse_messages(std::string_view text);
/// The tools of a JSON text: a list, or an object with "tools".
Json parse_tools(std::string_view text);

/// Any JSON from outside, as `what`; never nested deeper than the limit.
Json parse_chat_json(std::string_view text, std::string_view what);

/// The checks alone, for JSON that is already parsed.
void check_messages(const Json& messages);
void check_tools(const Json& tools);

}  // namespace autoglm
