// "%s" % x and "{}".format(x).
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/error.h"
#include "text/jinja_builtins.h"

namespace autoglm::jinja {
namespace {

constexpr int64_t kWidest = 1 << 20;  // of a field; beyond it is a mistake or an attack

struct Spec {
  std::string fill = " ";
  char align = 0;
  char sign = '-';
  bool alternate = false;
  bool zero = false;
  char group = 0;
  int64_t width = 0;
  int64_t precision = -1;
  char type = 0;
};

int64_t digits(Interpreter& in, std::string_view text, size_t& at) {
  int64_t value = -1;
  while (at < text.size() && text[at] >= '0' && text[at] <= '9') {
    value = std::max<int64_t>(value, 0) * 10 + (text[at++] - '0');
    if (value > kWidest) in.error("a format field is too wide");
  }
  return value;
}

std::string print_real(double value, char type, int64_t precision, bool alternate) {
  if (std::isnan(value)) return type == 'F' || type == 'E' || type == 'G' ? "NAN" : "nan";
  if (std::isinf(value))
    return std::string(value < 0 ? "-" : "") + (type == 'F' || type == 'E' || type == 'G' ? "INF" : "inf");
  const std::string form = std::string("%") + (alternate ? "#" : "") + ".*" + type;
  const int size = std::snprintf(nullptr, 0, form.c_str(), static_cast<int>(precision), value);
  std::string out(static_cast<size_t>(size) + 1, '\0');
  std::snprintf(out.data(), out.size(), form.c_str(), static_cast<int>(precision), value);
  out.pop_back();
  return out;
}

std::string in_base(uint64_t value, int base, bool upper) {
  std::string out;
  do {
    const auto digit = static_cast<int>(value % static_cast<uint64_t>(base));
    out += static_cast<char>(digit < 10 ? '0' + digit : (upper ? 'A' : 'a') + digit - 10);
    value /= static_cast<uint64_t>(base);
  } while (value != 0);
  std::reverse(out.begin(), out.end());
  return out;
}

uint64_t magnitude(int64_t value) {
  return value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
}

/// Puts `body` (sign in front, digits behind) into the field.
Text field(const Text& sign, const Text& body, const Spec& spec, char default_align) {
  const auto size = static_cast<int64_t>(count_chars(sign.view()) + count_chars(body.view()));
  const int64_t extra = std::max<int64_t>(0, spec.width - size);
  const char align = spec.align != 0 ? spec.align : default_align;
  int64_t left = 0;
  if (align == '>') left = extra;
  if (align == '^') left = extra / 2;
  const auto pad = [&](Text& out, int64_t count) {
    for (int64_t i = 0; i < count; ++i) out.append(spec.fill, true);
  };
  Text out;
  if (align == '=') {
    out.append(sign);
    pad(out, extra);
    out.append(body);
    return out;
  }
  pad(out, left);
  out.append(sign);
  out.append(body);
  pad(out, extra - left);
  return out;
}

void group_digits(std::string& text, char separator) {
  size_t end = text.find_first_not_of("0123456789");
  if (end == std::string::npos) end = text.size();
  while (end > 3) {
    end -= 3;
    text.insert(end, 1, separator);
  }
}

Spec parse_spec(Interpreter& in, std::string_view text) {
  Spec spec;
  size_t at = 0;
  const auto is_align = [](char c) { return c == '<' || c == '>' || c == '^' || c == '='; };
  const size_t first = text.empty() ? 0 : char_bytes(text, 0);
  if (first < text.size() && is_align(text[first])) {
    spec.fill = std::string(text.substr(0, first));
    spec.align = text[first];
    at = first + 1;
  } else if (!text.empty() && is_align(text[0])) {
    spec.align = text[at++];
  }
  const auto take = [&](std::string_view set) {
    return at < text.size() && set.find(text[at]) != std::string_view::npos ? text[at++] : '\0';
  };
  if (const char c = take("+- ")) spec.sign = c;
  spec.alternate = take("#") != 0;
  if (take("0") != 0) {
    spec.zero = true;
    if (spec.align == 0) {
      spec.fill = "0";
      spec.align = '=';
    }
  }
  spec.width = std::max<int64_t>(digits(in, text, at), 0);
  spec.group = take(",_");
  if (take(".") != 0) {
    spec.precision = digits(in, text, at);
    if (spec.precision < 0) in.error("format specifier is missing its precision");
  }
  if (at < text.size()) spec.type = text[at++];
  if (at != text.size()) in.error("invalid format specifier");
  return spec;
}

Text format_number(Interpreter& in, const Value& value, const Spec& spec) {
  const bool origin = !value.user;
  std::string body;
  bool negative = false;
  char type = spec.type;
  if (value.is_int() && (type == 0 || std::string_view("dbxXocn").find(type) != std::string_view::npos)) {
    const int64_t number = value.as_int();
    negative = number < 0;
    if (spec.precision >= 0) in.error("precision not allowed in integer format specifier");
    if (type == 'c') {
      if (number < 0 || number > 0x10ffff || (number >= 0xd800 && number < 0xe000)) in.error("%c needs a character");
      append_utf8(body, static_cast<uint32_t>(number));
      negative = false;
    } else {
      const int base = type == 'b' ? 2 : type == 'o' ? 8 : type == 'x' || type == 'X' ? 16 : 10;
      body = in_base(magnitude(number), base, type == 'X');
      if (spec.group != 0 && base == 10) group_digits(body, spec.group);
      if (spec.alternate && base != 10) body = std::string("0") + type + body;
    }
  } else if (type == 0 || std::string_view("eEfFgGn%").find(type) != std::string_view::npos) {
    double number = value.as_real();
    negative = std::signbit(number) && !std::isnan(number);
    number = std::abs(number);
    if (type == '%') {
      body = print_real(number * 100.0, 'f', spec.precision < 0 ? 6 : spec.precision, spec.alternate) + "%";
    } else if (type == 0 && spec.precision < 0) {
      body = real_text(number);
    } else if (type == 0) {
      body = print_real(number, 'g', std::max<int64_t>(spec.precision, 1), spec.alternate);
      if (body.find_first_of(".en") == std::string::npos) body += ".0";
    } else {
      body = print_real(number, type == 'n' ? 'g' : type, spec.precision < 0 ? 6 : spec.precision, spec.alternate);
    }
    if (spec.group != 0) group_digits(body, spec.group);
  } else {
    in.error(std::string("unknown format code '") + type + "' for object of type '" + std::string(type_name(value)) +
             "'");
  }
  const std::string sign = negative ? "-" : spec.sign == '-' ? "" : std::string(1, spec.sign);
  return field(Text(sign, origin), Text(body, origin), spec, '>');
}

}  // namespace

Text format_spec(Interpreter& in, const Value& value, std::string_view text) {
  if (text.empty()) return in.to_text(value);
  if (value.kind == Kind::boolean && text.find_first_of("dbxXoceEfFgGn%") == std::string_view::npos) {
    return format_spec(in, in.string(in.to_text(value)), text);
  }
  const Spec spec = parse_spec(in, text);
  if (value.is_number()) return format_number(in, value, spec);
  if (!value.is_string()) in.error("unsupported format string for " + std::string(type_name(value)));
  if (spec.type != 0 && spec.type != 's')
    in.error(std::string("unknown format code '") + spec.type + "' for object of type 'str'");
  if (spec.align == '=') in.error("'=' alignment not allowed in string format specifier");
  Text body = value.text();
  if (spec.precision >= 0) body = body.slice(0, char_offset(body.view(), static_cast<size_t>(spec.precision)));
  return field(Text(), body, spec, '<');
}

namespace {

class BraceFormat {
 public:
  BraceFormat(Interpreter& in, const Args& args) : in_(in), args_(args) {}

  Text run(const Text& format, int depth) {
    if (depth > 2) in_.error("max string recursion exceeded");
    Text out;
    const std::string_view view = format.view();
    for (size_t at = 0; at < view.size();) {
      const size_t brace = std::min(view.find_first_of("{}", at), view.size());
      out.append(format, at, brace);
      if (brace == view.size()) break;
      if (brace + 1 < view.size() && view[brace + 1] == view[brace]) {
        out.append(format, brace, brace + 1);
        at = brace + 2;
        continue;
      }
      if (view[brace] == '}') in_.error("single '}' encountered in format string");
      size_t end = brace + 1;
      for (int open = 1; end < view.size(); ++end) {
        if (view[end] == '{') ++open;
        if (view[end] == '}' && --open == 0) break;
      }
      if (end >= view.size()) in_.error("expected '}' before end of string");
      out.append(one(format, brace + 1, end, depth));
      in_.step_bytes(out.size() / 16);
      in_.check_size(static_cast<int64_t>(out.size()));
      at = end + 1;
    }
    return out;
  }

 private:
  Text one(const Text& format, size_t begin, size_t end, int depth) {
    const std::string_view body = format.view().substr(begin, end - begin);
    size_t name_end = 0;
    for (int bracket = 0; name_end < body.size(); ++name_end) {
      if (body[name_end] == '[') ++bracket;
      if (body[name_end] == ']') --bracket;
      if (bracket == 0 && (body[name_end] == ':' || body[name_end] == '!')) break;
    }
    Value value = resolve(body.substr(0, name_end));
    size_t at = name_end;
    if (at < body.size() && body[at] == '!') {
      const char conversion = at + 1 < body.size() ? body[at + 1] : 0;
      if (conversion != 's' && conversion != 'r' && conversion != 'a') in_.error("unknown conversion in format string");
      Text text;
      if (conversion == 's') {
        text = in_.to_text(value);
      } else {
        in_.append_repr(text, value);
      }
      value = in_.string(std::move(text));
      at += 2;
    }
    if (at < body.size() && body[at] != ':') in_.error("expected ':' after conversion specifier");
    if (at >= body.size()) return in_.to_text(value);
    const Text spec = run(format.slice(begin + at + 1, end), depth + 1);
    return format_spec(in_, value, spec.view());
  }

  Value resolve(std::string_view name) {
    const size_t first_end = std::min(name.find_first_of(".["), name.size());
    const std::string_view first = name.substr(0, first_end);
    Value value;
    if (first.empty()) {
      value = positional(next_++);
    } else if (first.find_first_not_of("0123456789") == std::string_view::npos) {
      value = positional(first.size() > 6 ? SIZE_MAX : static_cast<size_t>(std::stoul(std::string(first))));
    } else {
      const auto it =
          std::find_if(args_.named.begin(), args_.named.end(), [&](const auto& n) { return n.first == first; });
      if (it == args_.named.end()) in_.error("format: no argument '" + std::string(first) + "'");
      value = it->second;
    }
    for (size_t at = first_end; at < name.size();) {
      if (name[at] == '.') {
        const size_t stop = std::min(name.find_first_of(".[", at + 1), name.size());
        value = in_.get_attr(value, in_.string(std::string(name.substr(at + 1, stop - at - 1)), true));
        at = stop;
      } else {
        const size_t stop = name.find(']', at);
        if (stop == std::string_view::npos) in_.error("missing ']' in format string");
        const std::string key(name.substr(at + 1, stop - at - 1));
        const bool number = !key.empty() && key.size() < 10 && key.find_first_not_of("0123456789") == std::string::npos;
        value = in_.get_item(value, number ? Value::of(static_cast<int64_t>(std::stol(key))) : in_.string(key, true));
        at = stop + 1;
      }
    }
    return value;
  }

  Value positional(size_t index) {
    if (index >= args_.positional.size()) in_.error("format: replacement index out of range");
    return args_.positional[index];
  }

  Interpreter& in_;
  const Args& args_;
  size_t next_ = 0;
};

class PercentFormat {
 public:
  PercentFormat(Interpreter& in, const Value& values) : in_(in), values_(values) {}

  Text run(const Text& format) {
    Text out;
    const std::string_view view = format.view();
    for (size_t at = 0; at < view.size();) {
      const size_t percent = std::min(view.find('%', at), view.size());
      out.append(format, at, percent);
      if (percent == view.size()) break;
      at = percent + 1;
      out.append(one(view, at, format.origin_at(percent)));
      in_.step_bytes(out.size() / 16);
      in_.check_size(static_cast<int64_t>(out.size()));
    }
    const bool all_used = values_.kind == Kind::tuple
                              ? used_ >= values_.items().size()
                              : used_ > 0 || values_.kind == Kind::dict || values_.kind == Kind::list;
    if (!all_used) in_.error("not all arguments converted during string formatting");
    return out;
  }

 private:
  Value next() {
    if (values_.kind == Kind::tuple) {
      if (used_ >= values_.items().size()) in_.error("not enough arguments for format string");
      return values_.items()[used_++];
    }
    if (used_++ > 0) in_.error("not enough arguments for format string");
    return values_;
  }

  int64_t star_or_digits(std::string_view view, size_t& at) {
    if (at >= view.size() || view[at] != '*') return digits(in_, view, at);
    ++at;
    const int64_t value = int_argument(in_, next(), "* in a format");
    if (value > kWidest || value < -kWidest) in_.error("a format field is too wide");
    return value;
  }

  Text one(std::string_view view, size_t& at, bool origin) {
    Spec spec;
    spec.align = '>';
    bool keyed = false;
    Value value;
    if (at < view.size() && view[at] == '(') {
      const size_t end = view.find(')', at);
      if (end == std::string_view::npos) in_.error("incomplete format key");
      if (values_.kind != Kind::dict) in_.error("format requires a mapping");
      const std::string key(view.substr(at + 1, end - at - 1));
      const Value* found = values_.dict().find(std::string_view(key));
      if (found == nullptr) in_.error("format: no key '" + key + "'");
      value = *found;
      keyed = true;
      at = end + 1;
    }
    bool left = false;
    for (; at < view.size() && std::string_view("-+ #0").find(view[at]) != std::string_view::npos; ++at) {
      if (view[at] == '-') left = true;
      if (view[at] == '+') spec.sign = '+';
      if (view[at] == ' ' && spec.sign == '-') spec.sign = ' ';
      if (view[at] == '#') spec.alternate = true;
      if (view[at] == '0') spec.zero = true;
    }
    spec.width = star_or_digits(view, at);
    if (spec.width < -1) left = true;
    spec.width = std::abs(spec.width == -1 ? 0 : spec.width);
    if (at < view.size() && view[at] == '.') {
      ++at;
      spec.precision = std::max<int64_t>(star_or_digits(view, at), 0);
    }
    while (at < view.size() && (view[at] == 'l' || view[at] == 'h' || view[at] == 'L')) ++at;
    if (at >= view.size()) in_.error("incomplete format");
    const char type = view[at++];
    if (left) spec.align = '<';
    if (type == '%') return Text("%", origin);
    if (!keyed) value = next();
    return convert(value, type, spec, left);
  }

  Text convert(const Value& value, char type, Spec spec, bool left) {
    if (type == 's' || type == 'r' || type == 'a') {
      Text body;
      if (type == 's') {
        in_.append_text(body, value);
      } else {
        in_.append_repr(body, value);
      }
      if (spec.precision >= 0) body = body.slice(0, char_offset(body.view(), static_cast<size_t>(spec.precision)));
      return field(Text(), body, spec, '>');
    }
    if (type == 'c' && value.is_string()) {
      if (value.str().chars != 1) in_.error("%c requires int or char");
      return field(Text(), value.text(), spec, '>');
    }
    if (value.is_undefined()) in_.undefined_error(value);
    if (!value.is_number())
      in_.error(std::string("%") + type + " format: a number is required, not " + std::string(type_name(value)));
    if (spec.zero && !left) {
      spec.fill = "0";
      spec.align = '=';
    }
    if (type == 'i' || type == 'u') type = 'd';
    if (type == 'd' || type == 'x' || type == 'X' || type == 'o') return integer(value, type, spec);
    if (type == 'c') {
      spec.type = 'c';
      spec.precision = -1;
      return format_number(in_, value, spec);
    }
    if (std::string_view("eEfFgG").find(type) == std::string_view::npos) {
      in_.error(std::string("unsupported format character '") + type + "'");
    }
    spec.type = type;
    return format_number(in_, Value::of(value.as_real(), value.user), spec);
  }

  Text integer(const Value& value, char type, const Spec& spec) {
    if (type != 'd' && !value.is_int())
      in_.error(std::string("%") + type + " format: an integer is required, not float");
    if (!value.is_int() && !(std::abs(value.real) < 9.2e18)) in_.error("%d format: a number beyond 64 bits");
    const int64_t number = value.is_int() ? value.as_int() : static_cast<int64_t>(value.real);
    std::string body = in_base(magnitude(number), type == 'o' ? 8 : type == 'd' ? 10 : 16, type == 'X');
    if (spec.precision > static_cast<int64_t>(body.size()))
      body.insert(0, static_cast<size_t>(spec.precision) - body.size(), '0');
    std::string sign = number < 0 ? "-" : spec.sign == '-' ? "" : std::string(1, spec.sign);
    if (spec.alternate && type != 'd') sign += std::string("0") + type;
    return field(Text(sign, !value.user), Text(body, !value.user), spec, '>');
  }

  Interpreter& in_;
  const Value& values_;
  size_t used_ = 0;
};

}  // namespace

Value format_braces(Interpreter& in, const Value& format, const Args& args) {
  return in.string(BraceFormat(in, args).run(format.text(), 1));
}

Value format_percent(Interpreter& in, const Value& format, const Value& values) {
  return in.string(PercentFormat(in, values).run(format.text()), format.str().markup);
}

}  // namespace autoglm::jinja
