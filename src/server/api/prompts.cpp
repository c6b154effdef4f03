#include "server/api/prompts.h"

#include <fmt/format.h>

#include <algorithm>

#include "text/utf8.h"

namespace autoglm {
namespace {

bool all_ids(const Json& list, int64_t vocabulary) {
  return std::ranges::all_of(list,
                             [&](const Json& one) { return one.is_number_integer() && one >= 0 && one < vocabulary; });
}

GivenText from_string(const Served& served, const std::string& text) {
  return {.tokens = make_raw_prompt(*served.tokenizer, text).tokens, .text = text};
}

GivenText from_ids(const Served& served, const Json& ids) {
  GivenText result;
  result.tokens = ids.get<std::vector<int32_t>>();
  result.text = utf8::lossy(served.tokenizer->decode(result.tokens, true));
  return result;
}

}  // namespace

std::vector<GivenText> read_texts(Fields& fields, std::string_view name, const Served& served, size_t most) {
  const Json* given = fields.any(name);
  if (given == nullptr) fields.refuse(name, "is missing");
  std::vector<GivenText> texts;
  if (given->is_string()) return {from_string(served, given->get<std::string>())};
  if (!given->is_array() || given->empty()) fields.refuse(name, "must be a text, a list of texts, or a list of ids");
  if (given->size() > most && !given->front().is_number()) {
    fields.refuse(name, fmt::format("has {} entries; {} are allowed", given->size(), most));
  }
  const int32_t size = served.tokenizer->size();
  if (all_ids(*given, size)) return {from_ids(served, *given)};
  for (const Json& one : *given) {
    if (one.is_string()) {
      texts.push_back(from_string(served, one.get<std::string>()));
    } else if (one.is_array() && all_ids(one, size)) {
      texts.push_back(from_ids(served, one));
    } else {
      fields.refuse(name, fmt::format("has an entry that is neither text nor ids from 0 to {}", size - 1));
    }
  }
  return texts;
}

}  // namespace autoglm
