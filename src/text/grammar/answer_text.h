// What may stand around a constrained part of an answer.
#pragma once

#include <string_view>

#include "text/grammar/grammar.h"

namespace autoglm {

/// Any text up to and including the first `mark` (ASCII, not empty).
Grammar::Node text_until(Grammar& grammar, std::string_view mark);

/// Whether a thought comes before the answer.
enum class Thought : uint8_t { none, possible, begun };

/// `answer` behind the thought between the marks; line breaks between them are nobody's, as for ReasoningSplitter.
Grammar::Node after_thought(Grammar& grammar, Grammar::Node answer, Thought thought, std::string_view open,
                            std::string_view close);

}  // namespace autoglm
