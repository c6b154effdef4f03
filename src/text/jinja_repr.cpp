// str(), repr() and json.dumps, byte for byte Python's.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "text/jinja_builtins.h"

namespace autoglm::jinja {
namespace {

constexpr int kDeepestRepr = 200;  // only a namespace that holds itself gets there

void append_hex(std::string& out, uint32_t value, int digits) {
  static constexpr char kHex[] = "0123456789abcdef";
  for (int shift = (digits - 1) * 4; shift >= 0; shift -= 4) out += kHex[(value >> shift) & 15];
}

}  // namespace

std::string real_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[40];
  const auto result = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific);
  std::string digits(buffer, result.ptr);
  const size_t e = digits.find('e');
  const int exponent = std::atoi(digits.c_str() + e + 1);
  std::string sign;
  std::string mantissa = digits.substr(0, e);
  if (mantissa[0] == '-') {
    sign = "-";
    mantissa.erase(0, 1);
  }
  if (exponent < -4 || exponent >= 16) {
    std::string out = sign + mantissa + (exponent < 0 ? "e-" : "e+");
    const std::string power = std::to_string(std::abs(exponent));
    return out + (power.size() < 2 ? "0" : "") + power;
  }
  std::erase(mantissa, '.');
  if (exponent < 0) return sign + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + mantissa;
  const auto whole = static_cast<size_t>(exponent) + 1;
  if (mantissa.size() <= whole) return sign + mantissa + std::string(whole - mantissa.size(), '0') + ".0";
  return sign + mantissa.substr(0, whole) + "." + mantissa.substr(whole);
}

Text string_repr(const Text& text) {
  const std::string_view view = text.view();
  const char quote = view.find('\'') != std::string_view::npos && view.find('"') == std::string_view::npos ? '"' : '\'';
  const std::string mark(1, quote);
  Text out;
  out.append(mark, text.empty() || text.origin_at(0));
  size_t plain = 0;  // start of what is copied as it is
  std::string escaped;
  for (size_t at = 0; at < view.size();) {
    const size_t from = at;
    const uint32_t c = next_char(view, at);
    escaped.clear();
    if (c == static_cast<uint32_t>(quote) || c == '\\') {
      escaped = {'\\', static_cast<char>(c)};
    } else if (c == '\n' || c == '\r' || c == '\t') {
      escaped = c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t";
    } else if (c < 0x80 ? (c < 0x20 || c == 0x7f) : !is_printable(c)) {
      escaped = c < 0x100 ? "\\x" : c < 0x10000 ? "\\u" : "\\U";
      append_hex(escaped, c, c < 0x100 ? 2 : c < 0x10000 ? 4 : 8);
    } else {
      continue;
    }
    out.append(text, plain, from);
    out.append(escaped, text.origin_at(from));
    plain = at;
  }
  out.append(text, plain, view.size());
  out.append(mark, text.empty() || text.origin_at(view.size() - 1));
  return out;
}

Text Interpreter::to_text(const Value& value) {
  Text out;
  append_text(out, value);
  return out;
}

void Interpreter::append_text(Text& out, const Value& value) {
  if (value.is_string()) {
    step_bytes(value.text().size());
    out.append(value.text());
  } else if (!value.is_undefined()) {
    append_repr(out, value);
  }
}

void Interpreter::append_repr(Text& out, const Value& value, int depth) {
  step();
  check_size(static_cast<int64_t>(out.size()));
  if (depth > kDeepestRepr)
    fail(Code::limit_exceeded, "chat template: a namespace that contains itself cannot be printed");
  // Marks around what others wrote are not the template's either.
  const auto mark = [&](std::string_view text) { out.append(text, false); };
  const auto sequence = [&](std::string_view open, const std::vector<Value>& items, std::string_view close) {
    mark(open);
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) mark(", ");
      append_repr(out, items[i], depth + 1);
    }
    mark(close);
  };
  switch (value.kind) {
    case Kind::undefined:
      return mark("Undefined");
    case Kind::none:
      return out.append("None", !value.user);
    case Kind::boolean:
      return out.append(value.boolean ? "True" : "False", !value.user);
    case Kind::integer:
      return out.append(std::to_string(value.integer), !value.user);
    case Kind::real:
      return out.append(real_text(value.real), !value.user);
    case Kind::string:
      step_bytes(value.text().size());
      if (value.str().markup) mark("Markup(");
      out.append(string_repr(value.text()));
      if (value.str().markup) mark(")");
      return;
    case Kind::list:
      return sequence("[", value.items(), "]");
    case Kind::tuple:
      return sequence("(", value.items(), value.items().size() == 1 ? ",)" : ")");
    case Kind::dict:
    case Kind::name_space: {
      mark(value.kind == Kind::dict ? "{" : "<Namespace {");
      bool first = true;
      const auto pair = [&](const Value& key, const Value& item) {
        if (!first) mark(", ");
        first = false;
        append_repr(out, key, depth + 1);
        mark(": ");
        append_repr(out, item, depth + 1);
      };
      if (value.kind == Kind::dict) {
        for (const auto& [key, item] : value.dict().items) pair(key, item);
      } else {
        for (const auto& [key, item] : value.ref->items) pair(string(key, true), item);
      }
      return mark(value.kind == Kind::dict ? "}" : "}>");
    }
    case Kind::view:
      mark(std::string(type_name(value)) + "(");
      sequence("[", iterate(value), "]");
      return mark(")");
    case Kind::range: {
      const auto& range = value.as<RangeObject>();
      std::string text = "range(" + std::to_string(range.start) + ", " + std::to_string(range.stop);
      if (range.step != 1) text += ", " + std::to_string(range.step);
      return mark(text + ")");
    }
    case Kind::macro: {
      const std::string& name = value.as<Macro>().def->name;
      return mark(name.empty() ? "<Macro 'caller'>" : "<Macro '" + name + "'>");
    }
    case Kind::loop:
      return mark("<LoopContext " + std::to_string(value.as<Loop>().index0 + 1) + "/" +
                  std::to_string(value.as<Loop>().items.size()) + ">");
    case Kind::generator:
      return mark("<generator object " + std::string(value.as<Generator>().name) + ">");
    default:
      return mark("<" + std::string(type_name(value)) + " object>");
  }
}

namespace {

class JsonWriter {
 public:
  JsonWriter(Interpreter& in, bool ensure_ascii, bool sort_keys) : in_(in), ascii_(ensure_ascii), sort_(sort_keys) {}

  void settings(const Value& indent, const Value& separators) {
    if (indent.is_string()) {
      indent_ = indent.text();
      lines_ = true;
    } else if (!indent.is_none()) {
      const int64_t width = std::max<int64_t>(int_argument(in_, indent, "indent"), 0);
      in_.check_size(width);
      indent_.append(std::string(static_cast<size_t>(width), ' '), true);
      lines_ = true;
    }
    comma_.append(lines_ ? "," : ", ", false);
    colon_.append(": ", false);
    if (separators.is_none()) return;
    const std::vector<Value> parts = in_.iterate(separators);
    if (parts.size() != 2 || !parts[0].is_string() || !parts[1].is_string())
      in_.error("tojson: separators must be two strings");
    comma_ = parts[0].text();
    colon_ = parts[1].text();
  }

  Text take() { return std::move(out_); }

  void write(const Value& value, int level) {
    in_.step();
    in_.check_size(static_cast<int64_t>(out_.size()));
    switch (value.kind) {
      case Kind::none:
        return out_.append("null", !value.user);
      case Kind::boolean:
        return out_.append(value.boolean ? "true" : "false", !value.user);
      case Kind::integer:
        return out_.append(std::to_string(value.integer), !value.user);
      case Kind::real:
        return out_.append(number(value.real), !value.user);
      case Kind::string:
        return string(value.text());
      case Kind::list:
      case Kind::tuple: {
        if (value.items().empty()) return out_.append("[]", false);
        out_.append("[", false);
        bool first = true;
        for (const Value& item : value.items()) {
          separate(first, level + 1);
          first = false;
          write(item, level + 1);
        }
        newline(level);
        return out_.append("]", false);
      }
      case Kind::dict:
        return object(value.dict(), level);
      default:
        in_.error("Object of type " + std::string(type_name(value)) + " is not JSON serializable");
    }
  }

 private:
  static std::string number(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
    return real_text(value);
  }

  void newline(int level) {
    if (!lines_) return;
    out_.append("\n", false);
    in_.step_bytes(indent_.size() * static_cast<size_t>(level));
    in_.check_size(static_cast<int64_t>(out_.size() + indent_.size() * static_cast<size_t>(level)));
    for (int i = 0; i < level; ++i) out_.append(indent_);
  }

  void separate(bool first, int level) {
    if (!first) out_.append(comma_);
    newline(level);
  }

  void object(const Dict& dict, int level) {
    if (dict.items.empty()) return out_.append("{}", false);
    std::vector<size_t> order(dict.items.size());
    std::iota(order.begin(), order.end(), size_t{0});
    if (sort_) {
      in_.step(static_cast<int64_t>(order.size()));
      order = stable_order(
          order.size(), [&](size_t a, size_t b) { return in_.compare(dict.items[a].first, dict.items[b].first) < 0; });
    }
    out_.append("{", false);
    bool first = true;
    for (const size_t i : order) {
      separate(first, level + 1);
      first = false;
      key(dict.items[i].first);
      out_.append(colon_);
      write(dict.items[i].second, level + 1);
    }
    newline(level);
    out_.append("}", false);
  }

  void key(const Value& value) {
    switch (value.kind) {
      case Kind::string:
        return string(value.text());
      case Kind::integer:
        return string(Text(std::to_string(value.integer), !value.user));
      case Kind::boolean:
        return string(Text(value.boolean ? "true" : "false", !value.user));
      case Kind::none:
        return string(Text("null", true));
      case Kind::real:
        return string(Text(number(value.real), !value.user));
      default:
        in_.error("keys must be str, int, float, bool or None, not " + std::string(type_name(value)));
    }
  }

  void string(const Text& text) {
    const std::string_view view = text.view();
    in_.step_bytes(view.size());
    out_.append("\"", text.empty() || text.origin_at(0));
    size_t plain = 0;
    std::string escaped;
    for (size_t at = 0; at < view.size();) {
      const size_t from = at;
      const auto lead = static_cast<uint8_t>(view[at]);
      if (lead >= 0x20 && lead < (ascii_ ? 0x7f : 0x80) && lead != '"' && lead != '\\') {
        ++at;
        continue;
      }
      const uint32_t c = next_char(view, at);
      if (c >= 0x80 && !ascii_) continue;
      escaped.clear();
      escape(c, escaped);
      out_.append(text, plain, from);
      out_.append(escaped, text.origin_at(from));
      plain = at;
    }
    out_.append(text, plain, view.size());
    out_.append("\"", text.empty() || text.origin_at(view.size() - 1));
  }

  static void escape(uint32_t c, std::string& out) {
    static constexpr std::string_view kFrom = "\"\\\n\r\t\f\b";
    static constexpr std::string_view kTo = "\"\\nrtfb";
    if (const size_t k = c < 0x80 ? kFrom.find(static_cast<char>(c)) : std::string_view::npos;
        k != std::string_view::npos) {
      out = {'\\', kTo[k]};
    } else if (c < 0x10000) {
      out = "\\u";
      append_hex(out, c, 4);
    } else {
      out = "\\u";
      append_hex(out, 0xd800 + ((c - 0x10000) >> 10), 4);
      out += "\\u";
      append_hex(out, 0xdc00 + ((c - 0x10000) & 0x3ff), 4);
    }
  }

  Interpreter& in_;
  bool ascii_;
  bool sort_;
  bool lines_ = false;
  Text indent_, comma_, colon_, out_;
};

}  // namespace

Text to_json(Interpreter& in, const Value& value, bool ensure_ascii, const Value& indent, const Value& separators,
             bool sort_keys) {
  JsonWriter writer(in, ensure_ascii, sort_keys);
  writer.settings(indent, separators);
  writer.write(value, 0);
  return writer.take();
}

Value Interpreter::from_json(const Json& json, int depth) {
  if (depth > limits_.depth) {
    fail(Code::limit_exceeded,
         "messages, tools or variables are nested deeper than " + std::to_string(limits_.depth) + " levels");
  }
  step();
  switch (json.type()) {
    case Json::value_t::boolean:
      return Value::of(json.get<bool>(), true);
    case Json::value_t::number_unsigned:
      if (json.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) {
        fail(Code::bad_request, "the number " + json.dump() + " does not fit in 64 bits");
      }
      [[fallthrough]];
    case Json::value_t::number_integer:
      return Value::of(json.get<int64_t>(), true);
    case Json::value_t::number_float:
      return Value::of(json.get<double>(), true);
    case Json::value_t::string: {
      const auto& text = json.get_ref<const std::string&>();
      if (!valid_utf8(text)) fail(Code::bad_request, "a message, tool or variable holds text that is not valid UTF-8");
      return string(text, false);
    }
    case Json::value_t::array: {
      std::vector<Value> items;
      items.reserve(json.size());
      for (const Json& item : json) items.push_back(from_json(item, depth + 1));
      return list(std::move(items));
    }
    case Json::value_t::object: {
      std::vector<std::pair<Value, Value>> items;
      for (const auto& [key, item] : json.items()) {
        if (!valid_utf8(key))
          fail(Code::bad_request, "a message, tool or variable holds a key that is not valid UTF-8");
        items.emplace_back(string(key, false), from_json(item, depth + 1));
      }
      return dict(std::move(items));
    }
    default:
      return Value::none();
  }
}

}  // namespace autoglm::jinja
