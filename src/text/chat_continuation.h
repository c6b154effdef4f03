// Conversations whose last message is not finished: rendered up to its last character, so that whatever follows belongs
// to it. The way of transformers' `continue_final_message`, to the byte: a mark is put behind the message, and the text
// ends where the template has written the mark. No template has to know of it.
#pragma once

#include <string>
#include <string_view>

#include "text/chat_template.h"

namespace autoglm {

/// Renders `input` without what the template writes behind the last message's `field` ("content", or
/// "reasoning_content": a thought). Spaces at its end go where the template trims them. Errors: as render(), and
/// bad_request if the message has no such text, or the template does not show it as it is.
Rendered render_unfinished(const ChatTemplate& chat_template, TemplateInput input, std::string_view field);

/// What the end of such a text is made of.
struct Unfinished {
  std::string said;       // of the last message: what nobody but its sender wrote
  std::string_view mark;  // of `open` and `close`, the one that the template wrote last before it; empty: none
};
Unfinished end_of(const Rendered& rendered, std::string_view open, std::string_view close);

}  // namespace autoglm
