// Python's operators.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "text/jinja_builtins.h"
#include "text/jinja_interpreter.h"

namespace autoglm::jinja {
namespace {

int sign(int value) { return value < 0 ? -1 : value > 0 ? 1 : 0; }

std::string_view operator_text(ExprKind kind) {
  switch (kind) {
    case ExprKind::add:
      return "+";
    case ExprKind::subtract:
      return "-";
    case ExprKind::multiply:
      return "*";
    case ExprKind::divide:
      return "/";
    case ExprKind::floor_divide:
      return "//";
    case ExprKind::modulo:
      return "%";
    default:
      return "** or pow()";
  }
}

}  // namespace

void Interpreter::undefined_error(const Value& value) const {
  error(value.object == nullptr ? "a value is undefined" : value.as<Str>().text.bytes());
}

void Interpreter::operand_error(std::string_view op, const Value& a, const Value& b) const {
  if (a.is_undefined()) undefined_error(a);
  if (b.is_undefined()) undefined_error(b);
  error("unsupported operand type(s) for " + std::string(op) + ": '" + std::string(type_name(a)) + "' and '" +
        std::string(type_name(b)) + "'");
}

Value Interpreter::binary(ExprKind op, const Value& a, const Value& b) {
  if (a.is_string() && op == ExprKind::modulo) return format_percent(*this, a, b);
  if (op == ExprKind::add) return add(a, b);
  if (op == ExprKind::multiply) return multiply(a, b);
  if (!a.is_number() || !b.is_number()) operand_error(operator_text(op), a, b);
  if (op == ExprKind::power) return power(a, b);
  const bool user = a.user || b.user;
  const bool ints = a.is_int() && b.is_int();
  if (op == ExprKind::subtract) {
    if (!ints) return Value::of(a.as_real() - b.as_real(), user);
    int64_t result = 0;
    if (__builtin_sub_overflow(a.as_int(), b.as_int(), &result)) error("integer beyond 64 bits");
    return Value::of(result, user);
  }
  if (b.as_real() == 0.0) error(op == ExprKind::modulo ? "integer modulo by zero" : "division by zero");
  if (op == ExprKind::divide) return Value::of(a.as_real() / b.as_real(), user);
  if (ints) {
    const int64_t x = a.as_int();
    const int64_t y = b.as_int();
    if (x == INT64_MIN && y == -1) {
      if (op == ExprKind::modulo) return Value::of(int64_t{0}, user);
      error("integer beyond 64 bits");
    }
    int64_t quotient = x / y;
    int64_t rest = x % y;
    if (rest != 0 && (rest < 0) != (y < 0)) {  // Python rounds towards minus infinity
      rest += y;
      --quotient;
    }
    return Value::of(op == ExprKind::modulo ? rest : quotient, user);
  }
  const double x = a.as_real();
  const double y = b.as_real();
  double rest = std::fmod(x, y);
  double quotient = (x - rest) / y;
  if (rest != 0.0) {
    if ((y < 0) != (rest < 0)) {
      rest += y;
      quotient -= 1.0;
    }
  } else {
    rest = std::copysign(0.0, y);
  }
  if (op == ExprKind::modulo) return Value::of(rest, user);
  if (quotient == 0.0) return Value::of(std::copysign(0.0, x / y), user);
  const double whole = std::floor(quotient);
  return Value::of(quotient - whole > 0.5 ? whole + 1.0 : whole, user);
}

Value Interpreter::add(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) {
    const bool user = a.user || b.user;
    if (!a.is_int() || !b.is_int()) return Value::of(a.as_real() + b.as_real(), user);
    int64_t result = 0;
    if (__builtin_add_overflow(a.as_int(), b.as_int(), &result)) error("integer beyond 64 bits");
    return Value::of(result, user);
  }
  if (a.is_string() && b.is_string()) {
    check_size(static_cast<int64_t>(a.text().size() + b.text().size()));
    const bool markup = a.str().markup || b.str().markup;
    const auto part = [&](const Value& v) { return markup && !v.str().markup ? escape_html(v.text()) : v.text(); };
    Text out = part(a);
    out.append(part(b));
    return string(std::move(out), markup);
  }
  if (a.is_sequence() && a.kind == b.kind) {
    step(static_cast<int64_t>(a.items().size() + b.items().size()));
    std::vector<Value> items = a.items();
    items.insert(items.end(), b.items().begin(), b.items().end());
    return list(std::move(items), a.kind);
  }
  operand_error("+", a, b);
}

Value Interpreter::repeat(const Value& sequence, int64_t times) {
  times = std::max<int64_t>(times, 0);
  const bool text = sequence.is_string();
  const auto size = static_cast<int64_t>(text ? sequence.text().size() : sequence.items().size());
  if (size == 0) times = 0;
  const int64_t unit = size * (text ? 1 : static_cast<int64_t>(sizeof(Value)));
  if (times > 0 && unit > budget_.limit / times) check_size(INT64_MAX);
  check_size(unit * times);
  if (text) {
    Text out;
    step_bytes(static_cast<size_t>(size * times));
    for (int64_t i = 0; i < times; ++i) out.append(sequence.text());
    return string(std::move(out), sequence.str().markup);
  }
  step(size * times);
  std::vector<Value> items;
  items.reserve(static_cast<size_t>(size * times));
  for (int64_t i = 0; i < times; ++i) items.insert(items.end(), sequence.items().begin(), sequence.items().end());
  return list(std::move(items), sequence.kind);
}

Value Interpreter::multiply(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) {
    const bool user = a.user || b.user;
    if (!a.is_int() || !b.is_int()) return Value::of(a.as_real() * b.as_real(), user);
    int64_t result = 0;
    if (__builtin_mul_overflow(a.as_int(), b.as_int(), &result)) error("integer beyond 64 bits");
    return Value::of(result, user);
  }
  if ((a.is_string() || a.is_sequence()) && b.is_int()) return repeat(a, b.as_int());
  if ((b.is_string() || b.is_sequence()) && a.is_int()) return repeat(b, a.as_int());
  operand_error("*", a, b);
}

Value Interpreter::power(const Value& a, const Value& b) {
  const bool user = a.user || b.user;
  if (a.is_int() && b.is_int() && b.as_int() >= 0) {
    int64_t result = 1;
    int64_t base = a.as_int();
    bool overflow = false;
    for (int64_t n = b.as_int(); n > 0; n >>= 1) {
      if ((n & 1) != 0) overflow |= __builtin_mul_overflow(result, base, &result);
      if (n > 1) overflow |= __builtin_mul_overflow(base, base, &base);
      if (overflow) error("integer beyond 64 bits");
    }
    return Value::of(result, user);
  }
  const double x = a.as_real();
  const double y = b.as_real();
  if (x == 0.0 && y < 0.0) error("0.0 cannot be raised to a negative power");
  if (x < 0.0 && std::isfinite(x) && std::isfinite(y) && y != std::floor(y))
    error("a negative number to a fractional power is complex");
  const double result = std::pow(x, y);
  if (std::isinf(result) && std::isfinite(x) && std::isfinite(y)) error("result of ** too large");
  return Value::of(result, user);
}

bool Interpreter::equal(const Value& a, const Value& b) { return equal_deep(a, b, 0); }

bool Interpreter::equal_deep(const Value& a, const Value& b, int depth) {
  step();
  if (a.is_number() && b.is_number()) {
    return a.is_int() && b.is_int() ? a.as_int() == b.as_int() : a.as_real() == b.as_real();
  }
  if (a.kind != b.kind) return false;
  switch (a.kind) {
    case Kind::undefined:
    case Kind::none:
      return true;
    case Kind::string:
      if (a.text().size() == b.text().size()) step_bytes(a.text().size());
      return a.text().view() == b.text().view();
    case Kind::list:
    case Kind::tuple: {
      const auto& x = a.items();
      const auto& y = b.items();
      if (x.size() != y.size()) return false;
      for (size_t i = 0; i < x.size(); ++i) {
        if (!equal_deep(x[i], y[i], depth + 1)) return false;
      }
      return true;
    }
    case Kind::dict: {
      const auto& x = a.dict();
      const auto& y = b.dict();
      if (x.items.size() != y.items.size()) return false;
      for (const auto& [key, value] : x.items) {
        step(static_cast<int64_t>(std::min<size_t>(y.items.size(), 8)));
        const Value* other = y.find(key);
        if (other == nullptr || !equal_deep(value, *other, depth + 1)) return false;
      }
      return true;
    }
    case Kind::range:
    case Kind::function:
      return key_of(a) == key_of(b);
    case Kind::name_space:
      return a.ref == b.ref;
    case Kind::view: {
      if (a.as<View>().part != b.as<View>().part) return false;
      return a.object == b.object ||
             (a.as<View>().part != View::Part::values && contains_all(a, b) && contains_all(b, a));
    }
    case Kind::method:
      return a.as<Method>().name == b.as<Method>().name && a.as<Method>().self.object == b.as<Method>().self.object;
    default:
      return a.object == b.object;
  }
}

bool Interpreter::contains_all(const Value& container, const Value& items) {
  const std::vector<Value> all = iterate(items);
  return std::all_of(all.begin(), all.end(), [&](const Value& item) { return contains(container, item); });
}

int Interpreter::compare(const Value& a, const Value& b, std::string_view op) {
  step();
  if (a.is_number() && b.is_number()) {
    if (a.is_int() && b.is_int()) return a.as_int() < b.as_int() ? -1 : a.as_int() > b.as_int() ? 1 : 0;
    return a.as_real() < b.as_real() ? -1 : a.as_real() > b.as_real() ? 1 : 0;
  }
  if (a.is_string() && b.is_string()) {
    // UTF-8 keeps the order of code points.
    step_bytes(std::min(a.text().size(), b.text().size()));
    return sign(a.text().view().compare(b.text().view()));
  }
  if (a.is_sequence() && a.kind == b.kind) {
    const auto& x = a.items();
    const auto& y = b.items();
    for (size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
      if (!equal(x[i], y[i])) return compare(x[i], y[i], op);
    }
    return x.size() < y.size() ? -1 : x.size() > y.size() ? 1 : 0;
  }
  if (a.is_undefined()) undefined_error(a);
  if (b.is_undefined()) undefined_error(b);
  error("'" + std::string(op) + "' not supported between instances of '" + std::string(type_name(a)) + "' and '" +
        std::string(type_name(b)) + "'");
}

bool Interpreter::ordered(const Value& a, const Value& b, std::string_view op) {
  if (a.is_number() && b.is_number() && (std::isnan(a.as_real()) || std::isnan(b.as_real()))) return false;
  const int order = compare(a, b, op);
  if (op == "<") return order < 0;
  if (op == "<=") return order <= 0;
  return op == ">" ? order > 0 : order >= 0;
}

bool Interpreter::contains(const Value& container, const Value& item) {
  step();
  switch (container.kind) {
    case Kind::undefined:
      return false;
    case Kind::string: {
      if (item.is_undefined()) error("'in <string>' requires string as left operand, not Undefined");
      if (!item.is_string())
        error("'in <string>' requires string as left operand, not " + std::string(type_name(item)));
      const std::string_view hay = container.text().view();
      const std::string_view needle = item.text().view();
      step_bytes(hay.size());
      return needle.empty() || memmem(hay.data(), hay.size(), needle.data(), needle.size()) != nullptr;
    }
    case Kind::dict:
      if (!key_of(item)) error("unhashable type: '" + std::string(type_name(item)) + "'");
      return container.dict().find(item) != nullptr;
    case Kind::range: {
      const auto& range = container.as<RangeObject>();
      if (!item.is_number()) return false;
      const double value = item.as_real();
      if (value != std::floor(value) || std::abs(value) > 9e18) return false;
      const int64_t at = item.is_int() ? item.as_int() : static_cast<int64_t>(value);
      const bool inside = range.step > 0 ? at >= range.start && at < range.stop : at <= range.start && at > range.stop;
      return inside && (at - range.start) % range.step == 0;
    }
    case Kind::view:
      if (container.as<View>().part == View::Part::keys) {
        return static_cast<const Dict&>(*container.as<View>().dict).find(item) != nullptr;
      }
      break;
    default:
      break;
  }
  if (container.is_sequence()) {
    for (const Value& value : container.items()) {
      if (equal(value, item)) return true;
    }
    return false;
  }
  if (!is_iterable(container)) error("argument of type '" + std::string(type_name(container)) + "' is not iterable");
  if (container.kind == Kind::generator) {
    const auto& generator = container.as<Generator>();
    while (generator.next < generator.items.size()) {
      if (equal(generator.items[generator.next++], item)) return true;
    }
    return false;
  }
  const std::vector<Value> all = iterate(container);
  return std::any_of(all.begin(), all.end(), [&](const Value& value) { return equal(value, item); });
}

bool Interpreter::is_iterable(const Value& value) const {
  switch (value.kind) {
    case Kind::undefined:
    case Kind::string:
    case Kind::list:
    case Kind::tuple:
    case Kind::dict:
    case Kind::view:
    case Kind::range:
    case Kind::generator:
      return true;
    default:
      return false;
  }
}

std::vector<Value> Interpreter::iterate(const Value& value) {
  std::vector<Value> out;
  switch (value.kind) {
    case Kind::undefined:
      return out;
    case Kind::string: {
      const Text& text = value.text();
      check_size(static_cast<int64_t>(value.str().chars * (sizeof(Value) + sizeof(Str))));
      for (size_t at = 0; at < text.size();) {
        const size_t bytes = char_bytes(text.view(), at);
        out.push_back(string(text.slice(at, at + bytes)));
        at += bytes;
      }
      return out;
    }
    case Kind::list:
    case Kind::tuple:
      step(static_cast<int64_t>(value.items().size() / 4));
      return value.items();
    case Kind::dict:
      step(static_cast<int64_t>(value.dict().items.size() / 4));
      for (const auto& item : value.dict().items) out.push_back(item.first);
      return out;
    case Kind::view: {
      const auto& view = value.as<View>();
      const auto& items = static_cast<const Dict&>(*view.dict).items;
      step(static_cast<int64_t>(items.size()));
      for (const auto& [key, item] : items) {
        out.push_back(view.part == View::Part::keys     ? key
                      : view.part == View::Part::values ? item
                                                        : list({key, item}, Kind::tuple));
      }
      return out;
    }
    case Kind::range: {
      const auto& range = value.as<RangeObject>();
      step(range.size());
      for (int64_t i = 0; i < range.size(); ++i) out.push_back(Value::of(range.at(i)));
      return out;
    }
    case Kind::generator: {
      const auto& generator = value.as<Generator>();
      step(static_cast<int64_t>(generator.items.size() / 4));
      out.assign(generator.items.begin() + static_cast<ptrdiff_t>(generator.next), generator.items.end());
      generator.next = generator.items.size();
      return out;
    }
    default:
      error("'" + std::string(type_name(value)) + "' object is not iterable");
  }
}

int64_t Interpreter::length(const Value& value) {
  switch (value.kind) {
    case Kind::undefined:
      return 0;
    case Kind::string:
      return static_cast<int64_t>(value.str().chars);
    case Kind::list:
    case Kind::tuple:
      return static_cast<int64_t>(value.items().size());
    case Kind::dict:
      return static_cast<int64_t>(value.dict().items.size());
    case Kind::view:
      return static_cast<int64_t>(static_cast<const Dict&>(*value.as<View>().dict).items.size());
    case Kind::range:
      return value.as<RangeObject>().size();
    case Kind::loop:
      return static_cast<int64_t>(value.as<Loop>().items.size());
    default:
      error("object of type '" + std::string(type_name(value)) + "' has no len()");
  }
}

}  // namespace autoglm::jinja
