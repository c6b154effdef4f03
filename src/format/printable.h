// Words of a file inside messages.
#pragma once

#include <string>
#include <string_view>

namespace autoglm {

/// `text` between single quotes, fit for a terminal: control characters and bytes that are not ASCII become \xNN, and
/// what is longer than 100 bytes is cut.
std::string printable(std::string_view text);

}  // namespace autoglm
