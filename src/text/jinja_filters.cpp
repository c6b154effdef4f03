#include "text/jinja_filters.h"

#include <algorithm>
#include <array>

namespace autoglm::jinja {
namespace {

// Jinja2 has these; they depend on chance, on HTML, or print for debugging, and no chat template uses them.
constexpr std::array kRefused = {"pprint", "random", "striptags", "urlize", "wordwrap", "xmlattr"};

Filter find_filter(std::string_view name) {
  for (const auto& [rows, count] : {text_filters(), sequence_filters()}) {
    const auto* row = std::find_if(rows, rows + count, [&](const FilterRow& r) { return r.name == name; });
    if (row != rows + count) return row->filter;
  }
  return nullptr;
}

}  // namespace

bool is_filter(std::string_view name) {
  return find_filter(name) != nullptr || std::find(kRefused.begin(), kRefused.end(), name) != kRefused.end();
}

Value apply_filter(Interpreter& in, std::string_view name, const Value& subject, Args args) {
  in.step();
  const Filter filter = find_filter(name);
  if (filter != nullptr) return filter(in, subject, args);
  if (is_filter(name)) in.error("the filter '" + std::string(name) + "' is not supported");
  in.error("no filter named '" + std::string(name) + "'");
}

}  // namespace autoglm::jinja
