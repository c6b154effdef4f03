// Text for terminals: columns, not bytes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace autoglm {

/// Columns that a UTF-8 text takes: East Asian wide characters take two, combining marks none.
int display_width(std::string_view text);

/// Lines of at most `columns`, broken at newlines, at spaces and between wide characters; longer words stand alone.
std::vector<std::string> wrap(std::string_view text, int columns);

}  // namespace autoglm
