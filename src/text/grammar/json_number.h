// Numbers of JSON within bounds, exactly.
//
// Without bounds: up to 15 digits before the point and 15 behind it, an exponent of up to two digits. With bounds: no
// exponent, and so many digits that a number and a bound that differ as written differ as doubles too.
#pragma once

#include <optional>

#include "text/chat_template.h"
#include "text/grammar/grammar.h"

namespace autoglm {

struct NumberBounds {
  struct Bound {
    Json value;  // a number
    bool strict = false;
  };
  std::optional<Bound> least;
  std::optional<Bound> most;
  bool any() const { return least.has_value() || most.has_value(); }
};

Grammar::Node any_number(Grammar& grammar);
Grammar::Node any_integer(Grammar& grammar);
/// Nothing matches where the bounds exclude each other. Error bad_request if the least is beyond 10^15 or the most
/// below -10^15.
Grammar::Node bounded_number(Grammar& grammar, const NumberBounds& bounds);
Grammar::Node bounded_integer(Grammar& grammar, const NumberBounds& bounds);

}  // namespace autoglm
