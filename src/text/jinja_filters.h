// The table of filters is in jinja_filters.cpp; what it refers to is spread over files by kind.
#pragma once

#include <string_view>

#include "text/jinja_builtins.h"

namespace autoglm::jinja {

using Filter = Value (*)(Interpreter& in, const Value& subject, Args& args);

struct FilterRow {
  std::string_view name;
  Filter filter;
};

/// Rows of jinja_filters_text.cpp and jinja_filters_sequence.cpp.
std::pair<const FilterRow*, size_t> text_filters();
std::pair<const FilterRow*, size_t> sequence_filters();

}  // namespace autoglm::jinja
