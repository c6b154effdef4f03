// Texts that are given without a chat: as strings, or as ids.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "server/api/api.h"
#include "server/api/fields.h"

namespace autoglm {

struct GivenText {
  std::vector<int32_t> tokens;
  std::string text;  // of ids: what they print
};

/// A field that is a string, a list of strings, a list of ids, or a list of those; `most` texts. Errors name it.
std::vector<GivenText> read_texts(Fields& fields, std::string_view name, const Served& served, size_t most);

}  // namespace autoglm
