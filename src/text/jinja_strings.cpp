// Python's str methods.
#include <algorithm>
#include <array>
#include <cstring>

#include "text/jinja_builtins.h"

namespace autoglm::jinja {
namespace {

size_t find_text(std::string_view hay, std::string_view needle, size_t from) {
  if (from > hay.size()) return std::string_view::npos;
  if (needle.empty()) return from;
  const void* at = memmem(hay.data() + from, hay.size() - from, needle.data(), needle.size());
  return at == nullptr ? std::string_view::npos : static_cast<size_t>(static_cast<const char*>(at) - hay.data());
}

/// A search from the right compares the whole needle at every place, so it is counted as that much work.
size_t rfind_text(Interpreter& in, std::string_view hay, std::string_view needle) {
  if (needle.size() > hay.size()) return std::string_view::npos;
  in.step_bytes(hay.size() * (std::min(needle.size(), hay.size() - needle.size() + 1) / 16 + 1));
  return hay.rfind(needle);
}

const Text& text_argument(Interpreter& in, const Value& value, std::string_view what) {
  if (!value.is_string()) in.error(std::string(what) + " must be str, not " + std::string(type_name(value)));
  return value.text();
}

/// Byte offsets of the first and the end of each character run that is not white space.
Value split_space(Interpreter& in, const Text& text, int64_t limit, bool from_right) {
  std::vector<Value> parts;
  const std::string_view view = text.view();
  std::vector<std::pair<size_t, size_t>> words;
  for (size_t at = 0; at < view.size();) {
    size_t next = at;
    if (is_space(next_char(view, next))) {
      at = next;
      continue;
    }
    const size_t begin = at;
    while (at < view.size()) {
      next = at;
      if (is_space(next_char(view, next))) break;
      at = next;
    }
    words.emplace_back(begin, at);
  }
  in.step(static_cast<int64_t>(words.size()));
  const size_t count = words.size();
  const size_t keep = limit < 0 ? count : std::min<size_t>(count, static_cast<size_t>(limit));
  if (from_right && keep < count) {  // what is left of the split words stays together, stripped on its right
    parts.push_back(in.string(text.slice(0, words[count - keep - 1].second)));
    for (size_t i = count - keep; i < count; ++i)
      parts.push_back(in.string(text.slice(words[i].first, words[i].second)));
    return in.list(std::move(parts));
  }
  for (size_t i = 0; i < keep; ++i) parts.push_back(in.string(text.slice(words[i].first, words[i].second)));
  if (keep < count) parts.push_back(in.string(text.slice(words[keep].first, view.size())));
  return in.list(std::move(parts));
}

Value split(Interpreter& in, const Text& text, Args& args, bool from_right) {
  auto bound = in.bind(from_right ? "rsplit" : "split", args, {"sep", "maxsplit"});
  const int64_t limit = bound[1] ? int_argument(in, *bound[1], "maxsplit") : -1;
  in.step_bytes(text.size());
  if (!bound[0] || bound[0]->is_none()) return split_space(in, text, limit, from_right);
  const Text& separator = text_argument(in, *bound[0], "split: the separator");
  if (separator.empty()) in.error("empty separator");
  const std::string_view view = text.view();
  std::vector<size_t> cuts;
  if (from_right) {
    rfind_text(in, view, separator.view());  // counts the work
    size_t end = view.size();
    while (limit < 0 || static_cast<int64_t>(cuts.size()) < limit) {
      const size_t at = view.substr(0, end).rfind(separator.view());
      if (at == std::string_view::npos) break;
      cuts.push_back(at);
      end = at;
    }
    std::reverse(cuts.begin(), cuts.end());
  } else {
    for (size_t at = find_text(view, separator.view(), 0); at != std::string_view::npos;
         at = find_text(view, separator.view(), at + separator.size())) {
      if (limit >= 0 && static_cast<int64_t>(cuts.size()) >= limit) break;
      cuts.push_back(at);
    }
  }
  std::vector<Value> parts;
  size_t begin = 0;
  for (const size_t cut : cuts) {
    parts.push_back(in.string(text.slice(begin, cut)));
    begin = cut + separator.size();
  }
  parts.push_back(in.string(text.slice(begin, view.size())));
  return in.list(std::move(parts));
}

/// The byte range of str[start:end], Python's rules; empty if start is past the end.
std::optional<std::pair<size_t, size_t>> window(Interpreter& in, const Str& str, const std::optional<Value>& start,
                                                const std::optional<Value>& end) {
  const auto size = static_cast<int64_t>(str.chars);
  const auto place = [&](const std::optional<Value>& value, int64_t fallback) {
    if (!value || value->is_none()) return fallback;
    int64_t index = int_argument(in, *value, "a position");
    if (index < 0) index = std::max<int64_t>(index + size, 0);
    return index;
  };
  const int64_t from = place(start, 0);
  const int64_t to = std::min(place(end, size), size);
  if (from > size || from > to) return std::nullopt;
  const std::string_view view = str.text.view();
  return std::pair(char_offset(view, static_cast<size_t>(from)), char_offset(view, static_cast<size_t>(to)));
}

Value find_method(Interpreter& in, const Str& self, std::string_view name, Args& args) {
  auto bound = in.bind(name, args, {"sub", "start", "end"}, 1);
  const Text& needle = text_argument(in, *bound[0], name);
  in.step_bytes(self.text.size());
  const auto range = window(in, self, bound[1], bound[2]);
  const bool right = name.starts_with('r');
  if (name == "count") {
    int64_t count = 0;
    if (!range) return Value::of(count);
    const std::string_view view = self.text.view().substr(range->first, range->second - range->first);
    if (needle.empty()) return Value::of(static_cast<int64_t>(count_chars(view)) + 1);
    for (size_t at = find_text(view, needle.view(), 0); at != std::string_view::npos;
         at = find_text(view, needle.view(), at + needle.size()))
      ++count;
    return Value::of(count);
  }
  if (range) {
    const std::string_view view = self.text.view().substr(0, range->second);
    const size_t at = right ? rfind_text(in, view, needle.view()) : find_text(view, needle.view(), range->first);
    if (at != std::string_view::npos && at >= range->first)
      return Value::of(static_cast<int64_t>(count_chars(view.substr(0, at))));
  }
  if (name.ends_with("index")) in.error("substring not found");
  return Value::of(int64_t{-1});
}

Value affix(Interpreter& in, const Str& self, std::string_view name, Args& args) {
  auto bound = in.bind(name, args, {"prefix", "start", "end"}, 1);
  const auto range = window(in, self, bound[1], bound[2]);
  const auto test = [&](const Value& value) {
    const Text& part = text_argument(in, value, name);
    if (!range) return false;
    const std::string_view view = self.text.view().substr(range->first, range->second - range->first);
    return name == "startswith" ? view.starts_with(part.view()) : view.ends_with(part.view());
  };
  if (bound[0]->kind == Kind::tuple) {
    const auto& all = bound[0]->items();
    in.step(static_cast<int64_t>(all.size()));
    return Value::of(std::any_of(all.begin(), all.end(), test));
  }
  return Value::of(test(*bound[0]));
}

Value strip_method(Interpreter& in, const Str& self, std::string_view name, Args& args) {
  auto bound = in.bind(name, args, {"chars"});
  const Text* chars = nullptr;
  if (bound[0] && !bound[0]->is_none()) chars = &text_argument(in, *bound[0], name);
  in.step_bytes(self.text.size() *
                (chars != nullptr ? std::max<size_t>(1, std::min<size_t>(chars->size(), 1 << 20)) : 1));
  const auto [begin, end] = strip_range(self.text.view(), chars, name != "rstrip", name != "lstrip");
  return in.string(self.text.slice(begin, end), self.markup);
}

Value partition(Interpreter& in, const Text& text, std::string_view name, Args& args) {
  auto bound = in.bind(name, args, {"sep"}, 1);
  const Text& separator = text_argument(in, *bound[0], name);
  if (separator.empty()) in.error("empty separator");
  in.step_bytes(text.size());
  const bool right = name == "rpartition";
  const size_t at = right ? rfind_text(in, text.view(), separator.view()) : find_text(text.view(), separator.view(), 0);
  if (at == std::string_view::npos) {
    const Value empty = in.string("", true);
    const Value all = in.string(text);
    return in.list(right ? std::vector<Value>{empty, empty, all} : std::vector<Value>{all, empty, empty}, Kind::tuple);
  }
  return in.list(
      {in.string(text.slice(0, at)), in.string(separator), in.string(text.slice(at + separator.size(), text.size()))},
      Kind::tuple);
}

/// Whether every character passes, and there is one.
template <typename Test>
bool all_chars(std::string_view text, Test test) {
  for (size_t at = 0; at < text.size();) {
    if (!test(next_char(text, at))) return false;
  }
  return !text.empty();
}

bool is_title_text(std::string_view text) {
  bool cased = false;
  bool previous = false;
  for (size_t at = 0; at < text.size();) {
    const uint32_t c = next_char(text, at);
    if (is_upper(c) || is_title(c)) {
      if (previous) return false;
      previous = cased = true;
    } else if (is_lower(c)) {
      if (!previous) return false;
      cased = true;
    } else {
      previous = false;
    }
  }
  return cased;
}

std::optional<bool> predicate(std::string_view name, std::string_view text) {
  const auto one_case = [&](auto wrong, auto right) {
    bool seen = false;
    for (size_t at = 0; at < text.size();) {
      const uint32_t c = next_char(text, at);
      if (wrong(c) || is_title(c)) return false;
      seen |= right(c);
    }
    return seen;
  };
  if (name == "isalpha") return all_chars(text, is_alpha);
  if (name == "isdigit") return all_chars(text, [](uint32_t c) { return is_digit(c) || is_decimal(c); });
  if (name == "isdecimal") return all_chars(text, is_decimal);
  if (name == "isnumeric") return all_chars(text, is_numeric);
  if (name == "isalnum") return all_chars(text, is_alnum);
  if (name == "isspace") return all_chars(text, is_space);
  if (name == "islower") return one_case(is_upper, is_lower);
  if (name == "isupper") return one_case(is_lower, is_upper);
  if (name == "istitle") return is_title_text(text);
  if (name == "isascii")
    return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<uint8_t>(c) < 0x80; });
  if (name == "isprintable") return text.empty() || all_chars(text, is_printable);
  if (name == "isidentifier") {
    const auto head = [](uint32_t c) { return c == '_' || is_alpha(c); };
    size_t at = 0;
    return !text.empty() && head(next_char(text, at)) &&
           all_chars(text, [&](uint32_t c) { return head(c) || is_decimal(c); });
  }
  return std::nullopt;
}

Value pad(Interpreter& in, const Str& self, std::string_view name, Args& args) {
  auto bound = in.bind(name, args, {"width", "fillchar"}, 1);
  const int64_t width = int_argument(in, *bound[0], "width");
  Text fill(name == "zfill" ? "0" : " ", true);
  if (bound[1]) fill = text_argument(in, *bound[1], name);
  if (count_chars(fill.view()) != 1) in.error("the fill character must be exactly one character long");
  const int64_t extra = width - static_cast<int64_t>(self.chars);
  if (extra <= 0) return in.string(self.text);
  in.check_size(extra > (1LL << 40) ? INT64_MAX : extra * static_cast<int64_t>(fill.size()));
  in.step(extra / 8);
  int64_t left = 0;
  if (name == "rjust" || name == "zfill") left = extra;
  if (name == "center") left = extra / 2 + (extra & width & 1);
  Text out;
  size_t sign = 0;
  if (name == "zfill" && !self.text.empty() && (self.text.view()[0] == '-' || self.text.view()[0] == '+')) {
    out.append(self.text, 0, 1);
    sign = 1;
  }
  for (int64_t i = 0; i < left; ++i) out.append(fill);
  out.append(self.text, sign, self.text.size());
  for (int64_t i = left; i < extra; ++i) out.append(fill);
  return in.string(std::move(out));
}

Value title_method(Interpreter& in, const Text& text) {
  Text out;
  bool previous = false;
  for (size_t at = 0; at < text.size();) {
    const size_t from = at;
    const uint32_t c = next_char(text.view(), at);
    std::string mapped;
    append_case(mapped, c, previous ? Case::lower : Case::title);
    out.append(mapped, text.origin_at(from));
    previous = is_cased(c);
  }
  return in.string(std::move(out));
}

Value swapcase(Interpreter& in, const Text& text) {
  Text out;
  for (size_t at = 0; at < text.size();) {
    const size_t from = at;
    const uint32_t c = next_char(text.view(), at);
    std::string mapped;
    if (is_upper(c)) {
      append_case(mapped, c, Case::lower);
    } else if (is_lower(c)) {
      append_case(mapped, c, Case::upper);
    } else {
      append_utf8(mapped, c);
    }
    out.append(mapped, text.origin_at(from));
  }
  return in.string(std::move(out));
}

Value expand_tabs(Interpreter& in, const Text& text, Args& args) {
  auto bound = in.bind("expandtabs", args, {"tabsize"});
  const int64_t size = bound[0] ? int_argument(in, *bound[0], "tabsize") : 8;
  Text out;
  int64_t column = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t from = at;
    const uint32_t c = next_char(text.view(), at);
    if (c == '\t') {
      const int64_t spaces = size > 0 ? size - column % size : 0;
      in.check_size(static_cast<int64_t>(out.size()) + spaces);
      in.step(1 + spaces / 64);
      out.append(std::string(static_cast<size_t>(spaces), ' '), text.origin_at(from));
      column += spaces;
      continue;
    }
    out.append(text, from, at);
    column = c == '\n' || c == '\r' ? 0 : column + 1;
  }
  return in.string(std::move(out));
}

constexpr std::array kStringMethods = {
    "capitalize",   "casefold",     "center",     "count",      "endswith",    "expandtabs", "find",
    "format",       "format_map",   "index",      "isalnum",    "isalpha",     "isascii",    "isdecimal",
    "isdigit",      "isidentifier", "islower",    "isnumeric",  "isprintable", "isspace",    "istitle",
    "isupper",      "join",         "ljust",      "lower",      "lstrip",      "partition",  "removeprefix",
    "removesuffix", "replace",      "rfind",      "rindex",     "rjust",       "rpartition", "rsplit",
    "rstrip",       "split",        "splitlines", "startswith", "strip",       "swapcase",   "title",
    "upper",        "zfill"};

}  // namespace

bool is_string_method(std::string_view name) {
  return std::find(kStringMethods.begin(), kStringMethods.end(), name) != kStringMethods.end();
}

Value call_string_method(Interpreter& in, const Value& value, std::string_view name, Args args) {
  const Str& self = value.str();
  const Text& text = self.text;
  in.step_bytes(text.size());
  const auto no_arguments = [&] { in.bind(name, args, {}); };
  if (name == "strip" || name == "lstrip" || name == "rstrip") return strip_method(in, self, name, args);
  if (name == "split") return split(in, text, args, false);
  if (name == "rsplit") return split(in, text, args, true);
  if (name == "startswith" || name == "endswith") return affix(in, self, name, args);
  if (name == "find" || name == "rfind" || name == "index" || name == "rindex" || name == "count") {
    return find_method(in, self, name, args);
  }
  if (name == "replace") {
    auto bound = in.bind(name, args, {"old", "new", "count"}, 2);
    const int64_t count = bound[2] ? int_argument(in, *bound[2], "count") : -1;
    return in.string(
        replace_text(in, text, text_argument(in, *bound[0], name), text_argument(in, *bound[1], name), count));
  }
  if (name == "join") {
    auto bound = in.bind(name, args, {"iterable"}, 1);
    Text out;
    bool first = true;
    for (const Value& item : in.iterate(*bound[0])) {
      if (!first) out.append(text);
      first = false;
      out.append(text_argument(in, item, "join: an item"));
      in.step_bytes(text.size());
      in.check_size(static_cast<int64_t>(out.size()));
    }
    return in.string(std::move(out));
  }
  if (name == "removeprefix" || name == "removesuffix") {
    auto bound = in.bind(name, args, {"affix"}, 1);
    const Text& part = text_argument(in, *bound[0], name);
    if (name == "removeprefix")
      return in.string(text.slice(text.view().starts_with(part.view()) ? part.size() : 0, text.size()));
    return in.string(text.slice(0, text.size() - (text.view().ends_with(part.view()) ? part.size() : 0)));
  }
  if (name == "splitlines") {
    auto bound = in.bind(name, args, {"keepends"});
    std::vector<Value> lines;
    for (const auto& [begin, end] : split_lines(text.view(), bound[0] && truthy(*bound[0]))) {
      lines.push_back(in.string(text.slice(begin, end)));
    }
    return in.list(std::move(lines));
  }
  if (name == "partition" || name == "rpartition") return partition(in, text, name, args);
  if (name == "center" || name == "ljust" || name == "rjust" || name == "zfill") return pad(in, self, name, args);
  if (name == "expandtabs") return expand_tabs(in, text, args);
  if (name == "format") return format_braces(in, value, args);
  if (name == "format_map") {
    auto bound = in.bind(name, args, {"mapping"}, 1);
    if (bound[0]->kind != Kind::dict) in.error("format_map() needs a mapping");
    Args named;
    for (const auto& [key, item] : bound[0]->dict().items) {
      if (key.is_string()) named.named.emplace_back(key.text().bytes(), item);
    }
    return format_braces(in, value, named);
  }
  no_arguments();
  if (name == "upper") return in.string(map_case(text, Case::upper), self.markup);
  if (name == "lower" || name == "casefold") return in.string(map_case(text, Case::lower), self.markup);
  if (name == "title") return title_method(in, text);
  if (name == "capitalize") return in.string(capitalize(text));
  if (name == "swapcase") return swapcase(in, text);
  if (const auto result = predicate(name, text.view())) return Value::of(*result);
  in.error("str has no method '" + std::string(name) + "'");
}

}  // namespace autoglm::jinja
