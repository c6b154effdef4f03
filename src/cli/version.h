// What was built, and from what.
#pragma once

#include <string_view>

namespace autoglm {

std::string_view program_version();   // "0.1.0"
std::string_view program_commit();    // 12 hexadecimal digits, "-dirty" behind them; or "unknown" outside a checkout
std::string_view program_compiler();  // "clang 19.1.4"

}  // namespace autoglm
