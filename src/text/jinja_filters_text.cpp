// Filters on strings and numbers.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "text/jinja_filters.h"

namespace autoglm::jinja {
namespace {

/// str() of what is not a string yet.
Value soft(Interpreter& in, const Value& value) { return value.is_string() ? value : in.string(in.to_text(value)); }

template <Case to>
Value change_case(Interpreter& in, const Value& subject, Args& args) {
  in.bind(to == Case::upper ? "upper" : "lower", args, {});
  return in.string(map_case(soft(in, subject).text(), to));
}

Value capitalize_filter(Interpreter& in, const Value& subject, Args& args) {
  in.bind("capitalize", args, {});
  return in.string(capitalize(soft(in, subject).text()));
}

/// Words begin at the start and behind -, white space, and opening brackets.
Value title_filter(Interpreter& in, const Value& subject, Args& args) {
  in.bind("title", args, {});
  const Value value = soft(in, subject);
  const Text& text = value.text();
  const std::string_view view = text.view();
  const auto separates = [](uint32_t c) {
    return c == '-' || c == '(' || c == '{' || c == '[' || c == '<' || is_space(c);
  };
  Text out;
  size_t begin = 0;
  for (size_t at = 0; at <= view.size();) {
    size_t next = at;
    const bool cut = at == view.size() || separates(next_char(view, next));
    if (!cut) {
      at = next;
      continue;
    }
    if (begin < at) {
      const size_t first = char_bytes(view, begin);
      out.append(map_case(text.slice(begin, begin + first), Case::upper));
      out.append(map_case(text.slice(begin + first, at), Case::lower));
    }
    if (at == view.size()) break;
    out.append(text, at, next);
    at = begin = next;
  }
  return in.string(std::move(out));
}

Value trim(Interpreter& in, const Value& subject, Args& args) {
  auto bound = in.bind("trim", args, {"chars"});
  Args inner;
  if (bound[0]) inner.positional.push_back(*bound[0]);
  return call_string_method(in, soft(in, subject), "strip", std::move(inner));
}

Value replace(Interpreter& in, const Value& subject, Args& args) {
  auto bound = in.bind("replace", args, {"old", "new", "count"}, 2);
  const int64_t count = bound[2] && !bound[2]->is_none() ? int_argument(in, *bound[2], "count") : -1;
  return in.string(replace_text(in, in.to_text(subject), in.to_text(*bound[0]), in.to_text(*bound[1]), count));
}

Value center(Interpreter& in, const Value& subject, Args& args) {
  auto bound = in.bind("center", args, {"width"});
  Args inner;
  inner.positional.push_back(bound[0] ? *bound[0] : Value::of(int64_t{80}));
  return call_string_method(in, soft(in, subject), "center", std::move(inner));
}

Value indent(Interpreter& in, const Value& subject, Args& args) {
  auto bound = in.bind("indent", args, {"width", "first", "blank"});
  if (subject.is_undefined()) in.undefined_error(subject);
  if (!subject.is_string()) in.error("indent needs a string, not " + std::string(type_name(subject)));
  Text prefix;
  if (bound[0] && bound[0]->is_string()) {
    prefix = bound[0]->text();
  } else {
    const int64_t width = bound[0] ? int_argument(in, *bound[0], "width") : 4;
    in.check_size(width);
    prefix.append(std::string(static_cast<size_t>(std::max<int64_t>(width, 0)), ' '), true);
  }
  const bool first = bound[1] && truthy(*bound[1]);
  const bool blank = bound[2] && truthy(*bound[2]);
  Text text = subject.text();
  in.step_bytes(text.size());
  text.append("\n", true);
  Text out;
  if (first) out.append(prefix);
  bool start = true;
  for (const auto& [begin, end] : split_lines(text.view(), false)) {
    if (!start) {
      out.append("\n", true);
      if (blank || begin < end) {
        in.step_bytes(prefix.size());
        in.check_size(static_cast<int64_t>(out.size() + prefix.size()));
        out.append(prefix);
      }
    }
    start = false;
    out.append(text, begin, end);
  }
  return in.string(std::move(out));
}

Value truncate(Interpreter& in, const Value& subject, Args& args) {
  auto bound = in.bind("truncate", args, {"length", "killwords", "end", "leeway"});
  const int64_t length = bound[0] ? int_argument(in, *bound[0], "length") : 255;
  const Value end = bound[2] ? *bound[2] : in.string("...", true);
  const int64_t leeway = bound[3] && !bound[3]->is_none() ? int_argument(in, *bound[3], "leeway") : 5;
  if (!end.is_string() || length < static_cast<int64_t>(end.str().chars))
    in.error("truncate: the length is less than that of the end");
  if (leeway < 0) in.error("truncate: leeway must not be negative");
  if (!subject.is_string()) in.error("truncate needs a string");
  const auto size = static_cast<int64_t>(subject.str().chars);
  if (size <= length || size - length <= leeway) return subject;
  const std::string_view view = subject.text().view();
  size_t cut = char_offset(view, static_cast<size_t>(length) - end.str().chars);
  if (!(bound[1] && truthy(*bound[1]))) {
    const size_t space = view.substr(0, cut).rfind(' ');
    if (space != std::string_view::npos) cut = space;
  }
  Text out = subject.text().slice(0, cut);
  out.append(end.text());
  return in.string(std::move(out));
}

Value wordcount(Interpreter& in, const Value& subject, Args& args) {
  in.bind("wordcount", args, {});
  const Value value = soft(in, subject);
  int64_t count = 0;
  bool inside = false;
  for (size_t at = 0; at < value.text().size();) {
    const uint32_t c = next_char(value.text().view(), at);
    const bool word = c == '_' || is_alnum(c);
    count += word && !inside ? 1 : 0;
    inside = word;
  }
  return Value::of(count);
}

Value escape(Interpreter& in, const Value& subject, Args& args) {
  in.bind("escape", args, {});
  if (subject.is_string() && subject.str().markup) return subject;
  return in.string(escape_html(in.to_text(subject)), true);
}

Value force_escape(Interpreter& in, const Value& subject, Args& args) {
  in.bind("forceescape", args, {});
  return in.string(escape_html(in.to_text(subject)), true);
}

Value safe(Interpreter& in, const Value& subject, Args& args) {
  in.bind("safe", args, {});
  return in.string(in.to_text(subject), true);
}

Value string_filter(Interpreter& in, const Value& subject, Args& args) {
  in.bind("string", args, {});
  return soft(in, subject);
}

Value format_filter(Interpreter& in, const Value& subject, Args& args) {
  if (!args.positional.empty() && !args.named.empty())
    in.error("can't handle positional and keyword arguments at the same time");
  if (args.named.empty())
    return format_percent(in, soft(in, subject), in.list(std::move(args.positional), Kind::tuple));
  std::vector<std::pair<Value, Value>> items;
  items.reserve(args.named.size());
  for (auto& [name, value] : args.named) items.emplace_back(in.string(name, true), std::move(value));
  return format_percent(in, soft(in, subject), in.dict(std::move(items)));
}

void quote(Text& out, const Text& text, bool query) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text.view()[i]);
    const bool plain =
        (c < 0x80 && std::isalnum(c) != 0) || c == '_' || c == '.' || c == '-' || c == '~' || (c == '/' && !query);
    if (plain) {
      out.append(text, i, i + 1);
    } else if (c == ' ' && query) {
      out.append("+", text.origin_at(i));
    } else {
      const char code[] = {'%', kHex[c >> 4], kHex[c & 15]};
      out.append(std::string_view(code, 3), text.origin_at(i));
    }
  }
}

Value urlencode(Interpreter& in, const Value& subject, Args& args) {
  in.bind("urlencode", args, {});
  Text out;
  if (subject.is_string() || !in.is_iterable(subject)) {
    quote(out, in.to_text(subject), false);
    return in.string(std::move(out));
  }
  std::vector<std::pair<Value, Value>> pairs;
  if (subject.kind == Kind::dict) {
    pairs = subject.dict().items;
  } else {
    for (const Value& item : in.iterate(subject)) {
      const std::vector<Value> parts = in.iterate(item);
      if (parts.size() != 2) in.error("urlencode needs pairs");
      pairs.emplace_back(parts[0], parts[1]);
    }
  }
  for (const auto& [key, value] : pairs) {
    if (!out.empty()) out.append("&", true);
    quote(out, in.to_text(key), true);
    out.append("=", true);
    quote(out, in.to_text(value), true);
  }
  return in.string(std::move(out));
}

Value to_json_filter(Interpreter& in, const Value& subject, Args& args) {
  auto bound = in.bind("tojson", args, {"ensure_ascii", "indent", "separators", "sort_keys"});
  return in.string(to_json(in, subject, bound[0] && truthy(*bound[0]), bound[1].value_or(Value::none()),
                           bound[2].value_or(Value::none()), bound[3] && truthy(*bound[3])));
}

Value to_int(Interpreter& in, const Value& subject, Args& args) {
  auto bound = in.bind("int", args, {"default", "base"});
  Value fallback = bound[0].value_or(Value::of(int64_t{0}));
  if (subject.is_undefined()) in.undefined_error(subject);
  double real = 0;
  if (subject.is_string()) {
    const bool user = !subject.text().all_template();
    const auto base = bound[1] ? int_argument(in, *bound[1], "base") : 10;
    if (const auto value = parse_int(in, subject.text().view(), static_cast<int>(base))) return Value::of(*value, user);
    const auto parsed = parse_real(subject.text().view());
    if (!parsed) return fallback;
    real = *parsed;
  } else if (subject.is_int()) {
    return Value::of(subject.as_int(), subject.user);
  } else if (subject.kind == Kind::real) {
    real = subject.real;
    if (std::isinf(real)) in.error("cannot convert float infinity to integer");
  } else {
    return fallback;
  }
  if (std::isnan(real) || std::isinf(real)) return fallback;
  if (std::abs(real) >= 9.2e18) in.error("integer beyond 64 bits");
  return Value::of(static_cast<int64_t>(real), subject.user);
}

Value to_real(Interpreter& in, const Value& subject, Args& args) {
  auto bound = in.bind("float", args, {"default"});
  if (subject.is_undefined()) in.undefined_error(subject);
  if (subject.is_number()) return Value::of(subject.as_real(), subject.user);
  if (subject.is_string()) {
    if (const auto value = parse_real(subject.text().view())) return Value::of(*value, !subject.text().all_template());
  }
  return bound[0].value_or(Value::of(0.0));
}

Value absolute(Interpreter& in, const Value& subject, Args& args) {
  in.bind("abs", args, {});
  if (subject.is_undefined()) in.undefined_error(subject);
  if (subject.kind == Kind::real) return Value::of(std::abs(subject.real), subject.user);
  if (!subject.is_int()) in.error("bad operand type for abs(): '" + std::string(type_name(subject)) + "'");
  if (subject.as_int() == INT64_MIN) in.error("integer beyond 64 bits");
  return Value::of(std::abs(subject.as_int()), subject.user);
}

/// Correctly rounded, ties by the exact value: what Python's round does.
double round_real(double value, int64_t precision) {
  if (!std::isfinite(value)) return value;
  if (precision > 330) return value;
  if (precision < -310) return std::copysign(0.0, value);
  if (precision < 0) {
    const double unit = std::pow(10.0, static_cast<double>(-precision));
    return std::nearbyint(value / unit) * unit;
  }
  char buffer[800];
  std::snprintf(buffer, sizeof buffer, "%.*f", static_cast<int>(precision), value);
  return std::strtod(buffer, nullptr);
}

Value round_filter(Interpreter& in, const Value& subject, Args& args) {
  auto bound = in.bind("round", args, {"precision", "method"});
  const int64_t precision = bound[0] ? int_argument(in, *bound[0], "precision") : 0;
  const std::string method = bound[1] ? in.to_text(*bound[1]).bytes() : "common";
  if (method != "common" && method != "ceil" && method != "floor") in.error("method must be common, ceil or floor");
  if (subject.is_undefined()) in.undefined_error(subject);
  if (!subject.is_number()) in.error("type " + std::string(type_name(subject)) + " doesn't define __round__ method");
  if (method != "common") {
    const double scale = std::pow(10.0, static_cast<double>(precision));
    const double scaled = subject.as_real() * scale;
    if (!std::isfinite(scaled)) in.error("cannot round a number that is not finite");
    return Value::of((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale, subject.user);
  }
  if (subject.kind == Kind::real) return Value::of(round_real(subject.real, precision), subject.user);
  int64_t value = subject.as_int();
  if (precision < -18) value = 0;
  if (precision < 0 && precision >= -18) {
    int64_t unit = 1;
    for (int64_t i = 0; i < -precision; ++i) unit *= 10;
    int64_t rest = value % unit;
    if (rest < 0) rest += unit;
    int64_t down = 0;
    if (__builtin_sub_overflow(value, rest, &down)) in.error("integer beyond 64 bits");
    const bool up = rest > unit - rest || (rest == unit - rest && (down / unit) % 2 != 0);
    if (__builtin_add_overflow(down, up ? unit : 0, &value)) in.error("integer beyond 64 bits");
  }
  return Value::of(value, subject.user);
}

Value file_size(Interpreter& in, const Value& subject, Args& args) {
  auto bound = in.bind("filesizeformat", args, {"binary"});
  const bool binary = bound[0] && truthy(*bound[0]);
  std::optional<double> bytes;
  if (subject.is_number()) bytes = subject.as_real();
  if (subject.is_string()) bytes = parse_real(subject.text().view());
  if (!bytes || !std::isfinite(*bytes)) in.error("filesizeformat needs a number");
  static constexpr std::array kUnits = {"kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"};
  const double base = binary ? 1024 : 1000;
  if (*bytes == 1) return in.string("1 Byte", true);
  if (*bytes < base) {
    char small[400];
    std::snprintf(small, sizeof small, "%.0f Bytes", std::trunc(*bytes));
    return in.string(small, !subject.user);
  }
  double unit = base;
  size_t i = 0;
  for (; i < kUnits.size(); ++i) {
    unit *= base;
    if (*bytes < unit) break;
  }
  std::string name = kUnits[std::min(i, kUnits.size() - 1)];
  if (binary) name = std::string(1, name[0] == 'k' ? 'K' : name[0]) + "iB";
  char buffer[400];
  std::snprintf(buffer, sizeof buffer, "%.1f ", base * *bytes / unit);
  return in.string(buffer + name, !subject.user);
}

constexpr FilterRow kRows[] = {
    {"abs", absolute},
    {"capitalize", capitalize_filter},
    {"center", center},
    {"e", escape},
    {"escape", escape},
    {"filesizeformat", file_size},
    {"float", to_real},
    {"forceescape", force_escape},
    {"format", format_filter},
    {"indent", indent},
    {"int", to_int},
    {"lower", change_case<Case::lower>},
    {"replace", replace},
    {"round", round_filter},
    {"safe", safe},
    {"string", string_filter},
    {"title", title_filter},
    {"tojson", to_json_filter},
    {"trim", trim},
    {"truncate", truncate},
    {"upper", change_case<Case::upper>},
    {"urlencode", urlencode},
    {"wordcount", wordcount},
};

}  // namespace

std::pair<const FilterRow*, size_t> text_filters() { return {kRows, std::size(kRows)}; }

}  // namespace autoglm::jinja
