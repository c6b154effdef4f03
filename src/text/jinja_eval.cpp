// Expressions: names, attributes, items, slices, calls.
#include <algorithm>

#include "base/error.h"
#include "text/jinja_builtins.h"
#include "text/jinja_interpreter.h"
#include "text/jinja_scopes.h"

namespace autoglm::jinja {

Value Interpreter::evaluate(const Expr& expr) {
  const Deeper deeper(*this);
  step();
  line_ = expr.line;
  switch (expr.kind) {
    case ExprKind::constant:
      return expr.value;
    case ExprKind::name:
      return lookup(expr);
    case ExprKind::get_attr:
      return get_attr(evaluate(*expr.a), expr.value);
    case ExprKind::get_item: {
      const Value object = evaluate(*expr.a);
      if (expr.b->kind != ExprKind::slice) return get_item(object, evaluate(*expr.b));
      const auto part = [&](const Expr* e) { return e == nullptr ? Value::none() : evaluate(*e); };
      const Value from = part(expr.b->a);
      const Value to = part(expr.b->b);
      return slice(object, from, to, part(expr.b->c));
    }
    case ExprKind::call:
      return evaluate_call(expr, nullptr);
    case ExprKind::filter:
      return evaluate_filter(expr, nullptr);
    case ExprKind::test: {
      const Value subject = evaluate(*expr.a);
      Args args = evaluate_args(expr.args);
      line_ = expr.line;
      return Value::of(apply_test(*this, expr.text, subject, std::move(args)));
    }
    case ExprKind::conditional:
      if (truthy(evaluate(*expr.a))) return evaluate(*expr.b);
      if (expr.c != nullptr) return evaluate(*expr.c);
      return undefined("the inline if-expression on line " + std::to_string(expr.line) +
                       " evaluated to false and no else section was defined.");
    case ExprKind::logical_and: {
      Value left = evaluate(*expr.a);
      return truthy(left) ? evaluate(*expr.b) : left;
    }
    case ExprKind::logical_or: {
      Value left = evaluate(*expr.a);
      return truthy(left) ? left : evaluate(*expr.b);
    }
    default:
      return evaluate_operator(expr);
  }
}

Value Interpreter::evaluate_operator(const Expr& expr) {
  switch (expr.kind) {
    case ExprKind::list:
    case ExprKind::tuple: {
      std::vector<Value> items;
      items.reserve(expr.items.size());
      for (const Expr* item : expr.items) items.push_back(evaluate(*item));
      return list(std::move(items), expr.kind == ExprKind::list ? Kind::list : Kind::tuple);
    }
    case ExprKind::dict:
      return evaluate_dict(expr);
    case ExprKind::compare:
      return evaluate_compare(expr);
    case ExprKind::concat: {
      Text out;
      for (const Expr* item : expr.items) {
        append_text(out, evaluate(*item));
        check_size(static_cast<int64_t>(out.size()));
      }
      return string(std::move(out));
    }
    case ExprKind::logical_not:
      return Value::of(!truthy(evaluate(*expr.a)));
    case ExprKind::negate:
    case ExprKind::plus: {
      const Value value = evaluate(*expr.a);
      if (value.is_undefined()) undefined_error(value);
      const bool negate = expr.kind == ExprKind::negate;
      if (value.kind == Kind::real) return Value::of(negate ? -value.real : value.real, value.user);
      if (!value.is_int())
        error("bad operand type for unary " + std::string(negate ? "-" : "+") + ": '" + std::string(type_name(value)) +
              "'");
      if (negate && value.as_int() == INT64_MIN) error("integer beyond 64 bits");
      return Value::of(negate ? -value.as_int() : value.as_int(), value.user);
    }
    case ExprKind::slice:
      error("a slice outside of a subscript");
    default: {
      const Value left = evaluate(*expr.a);
      const Value right = evaluate(*expr.b);
      line_ = expr.line;
      return binary(expr.kind, left, right);
    }
  }
}

Value Interpreter::lookup(const Expr& expr) {
  if (const Value* found = find_variable(expr.symbol)) return *found;
  if (const int64_t id = global_function(expr.text); id >= 0) return Value::function(id);
  return undefined("'" + expr.text + "' is undefined");
}

Value Interpreter::evaluate_dict(const Expr& expr) {
  std::vector<std::pair<Value, Value>> items;
  for (size_t i = 0; i + 1 < expr.items.size(); i += 2) {
    Value key = evaluate(*expr.items[i]);
    Value value = evaluate(*expr.items[i + 1]);
    items.emplace_back(std::move(key), std::move(value));
  }
  return dict(std::move(items));
}

Value Interpreter::evaluate_compare(const Expr& expr) {
  Value left = evaluate(*expr.a);
  for (size_t i = 0; i < expr.items.size(); ++i) {
    Value right = evaluate(*expr.items[i]);
    line_ = expr.line;
    bool holds = false;
    switch (expr.compare[i]) {
      case CompareOp::eq:
        holds = equal(left, right);
        break;
      case CompareOp::ne:
        holds = !equal(left, right);
        break;
      case CompareOp::lt:
        holds = ordered(left, right, "<");
        break;
      case CompareOp::le:
        holds = ordered(left, right, "<=");
        break;
      case CompareOp::gt:
        holds = ordered(left, right, ">");
        break;
      case CompareOp::ge:
        holds = ordered(left, right, ">=");
        break;
      case CompareOp::in:
        holds = contains(right, left);
        break;
      case CompareOp::not_in:
        holds = !contains(right, left);
        break;
    }
    if (!holds) return Value::of(false);
    left = std::move(right);
  }
  return Value::of(true);
}

Value Interpreter::evaluate_filter(const Expr& expr, const Value* subject) {
  Value value;
  if (expr.a == nullptr) {
    if (subject != nullptr) value = *subject;
  } else {
    value = subject != nullptr ? evaluate_filter(*expr.a, subject) : evaluate(*expr.a);
  }
  Args args = evaluate_args(expr.args);
  line_ = expr.line;
  return apply_filter(*this, expr.text, value, std::move(args));
}

Args Interpreter::evaluate_args(const CallArgs& args) {
  Args out;
  out.positional.reserve(args.positional.size());
  for (const Expr* arg : args.positional) out.positional.push_back(evaluate(*arg));
  for (const auto& [name, arg] : args.named) out.named.emplace_back(name, evaluate(*arg));
  if (args.star != nullptr) {
    for (Value& value : iterate(evaluate(*args.star))) out.positional.push_back(std::move(value));
  }
  if (args.star_star != nullptr) {
    const Value all = evaluate(*args.star_star);
    if (all.kind != Kind::dict) error("argument after ** must be a mapping");
    for (const auto& [key, value] : all.dict().items) {
      if (!key.is_string()) error("keywords must be strings");
      for (const auto& named : out.named) {
        if (named.first == key.text().view()) error("got two values for keyword argument '" + named.first + "'");
      }
      out.named.emplace_back(key.text().bytes(), value);
    }
  }
  return out;
}

Value Interpreter::evaluate_call(const Expr& expr, const Value* caller) {
  const auto arguments = [&] {
    Args args = evaluate_args(expr.args);
    if (caller != nullptr) args.named.emplace_back("caller", *caller);
    line_ = expr.line;
    return args;
  };
  if (expr.a->kind == ExprKind::get_attr) {  // a method: no need to make an object of it
    const Value self = evaluate(*expr.a->a);
    const std::string& name = expr.a->text;
    if (has_method(self, name)) return call_method(*this, self, name, arguments());
    const Value callee = get_attr(self, expr.a->value);
    return call(callee, arguments());
  }
  const Value callee = evaluate(*expr.a);
  return call(callee, arguments());
}

std::optional<Value> Interpreter::attribute_of(const Value& object, const Value& name) {
  const std::string_view text = name.text().view();
  if (object.is_undefined()) undefined_error(object);
  if (text.starts_with("__") && text.ends_with("__")) {
    return undefined("access to attribute '" + std::string(text) + "' of '" + std::string(type_name(object)) +
                     "' object is unsafe.");
  }
  if (object.kind == Kind::name_space) {
    const Value* found = object.ref->find(text);
    return found == nullptr ? std::nullopt : std::optional(*found);
  }
  if (object.kind == Kind::loop) {
    if (auto found = loop_attribute(object, text)) return found;
  }
  if (object.kind == Kind::tuple && object.as<List>().group) {
    if (text == "grouper") return object.items()[0];
    if (text == "list") return object.items()[1];
  }
  if (object.kind == Kind::cycler && text == "current") return object.as<Cycler>().items[object.as<Cycler>().at];
  if (object.kind == Kind::macro && text == "name") return string(object.as<Macro>().def->name, true);
  if (object.kind == Kind::range) {
    const auto& range = object.as<RangeObject>();
    if (text == "start") return Value::of(range.start);
    if (text == "stop") return Value::of(range.stop);
    if (text == "step") return Value::of(range.step);
  }
  if (object.is_number() && text == "real") return object;
  if (object.is_number() && text == "imag") {
    return object.kind == Kind::real ? Value::of(0.0) : Value::of(int64_t{0});
  }
  if (is_forbidden_method(object, text)) {
    return undefined("access to attribute '" + std::string(text) + "' of '" + std::string(type_name(object)) +
                     "' object is unsafe.");
  }
  if (has_method(object, text)) {
    auto method = std::make_shared<Method>();
    method->self = object;
    method->name = std::string(text);
    return this->object(Kind::method, std::move(method), sizeof(Method) + 32);
  }
  return std::nullopt;
}

std::optional<Value> Interpreter::loop_attribute(const Value& value, std::string_view name) {
  const auto& loop = value.as<Loop>();
  const auto index = static_cast<int64_t>(loop.index0);
  const auto size = static_cast<int64_t>(loop.items.size());
  if (name == "index") return Value::of(index + 1);
  if (name == "index0") return Value::of(index);
  if (name == "first") return Value::of(index == 0);
  if (name == "last") return Value::of(index + 1 == size);
  if (name == "length") return Value::of(size);
  if (name == "revindex") return Value::of(size - index);
  if (name == "revindex0") return Value::of(size - index - 1);
  if (name == "depth") return Value::of(int64_t{loop.depth0} + 1);
  if (name == "depth0") return Value::of(int64_t{loop.depth0});
  if (name == "previtem") return index == 0 ? undefined("there is no previous item") : loop.items[loop.index0 - 1];
  if (name == "nextitem") return index + 1 == size ? undefined("there is no next item") : loop.items[loop.index0 + 1];
  return std::nullopt;
}

Value Interpreter::missing(const Value& object, const Value& key) {
  std::string shown = object.is_none() ? "None" : std::string(type_name(object)) + " object";
  if (key.is_string()) {
    const std::string name = key.text().bytes().substr(0, 80);
    return undefined("'" + shown + "' has no attribute '" + name + "'");
  }
  Text repr;
  append_repr(repr, key);
  return undefined(shown + " has no element " + repr.bytes().substr(0, 80));
}

std::optional<Value> Interpreter::item_of(const Value& object, const Value& key) {
  if (object.is_undefined()) undefined_error(object);
  if (object.kind == Kind::dict) {
    if (key.is_string()) step_bytes(key.text().size());
    const Value* found = object.dict().find(key);
    return found == nullptr ? std::nullopt : std::optional(*found);
  }
  if (!key.is_int()) return std::nullopt;
  int64_t index = key.as_int();
  if (object.is_sequence()) {
    const auto& items = object.items();
    const auto size = static_cast<int64_t>(items.size());
    if (index < 0) index += size;
    if (index < 0 || index >= size) return std::nullopt;
    return items[static_cast<size_t>(index)];
  }
  if (object.is_string()) {
    const Str& str = object.str();
    const auto size = static_cast<int64_t>(str.chars);
    if (index < 0) index += size;
    if (index < 0 || index >= size) return std::nullopt;
    const bool ascii = str.chars == str.text.size();
    if (!ascii) step_bytes(str.text.size());
    const size_t at = ascii ? static_cast<size_t>(index) : char_offset(str.text.view(), static_cast<size_t>(index));
    return string(str.text.slice(at, at + char_bytes(str.text.view(), at)));
  }
  if (object.kind == Kind::range) {
    const auto& range = object.as<RangeObject>();
    if (index < 0) index += range.size();
    if (index < 0 || index >= range.size()) return std::nullopt;
    return Value::of(range.at(index));
  }
  return std::nullopt;
}

Value Interpreter::attribute(const Value& object, const Value& name) {
  auto found = attribute_of(object, name);
  return found ? *found : missing(object, name);
}

Value Interpreter::get_attr(const Value& object, const Value& name) {
  if (auto found = attribute_of(object, name)) return *found;
  if (auto found = item_of(object, name)) return *found;
  return missing(object, name);
}

Value Interpreter::get_item(const Value& object, const Value& key) {
  if (auto found = item_of(object, key)) return *found;
  if (key.is_string()) {
    if (auto found = attribute_of(object, key)) return *found;
  }
  return missing(object, key);
}

Value Interpreter::slice(const Value& object, const Value& from, const Value& to, const Value& step_value) {
  if (object.is_undefined()) undefined_error(object);
  if (!object.is_string() && !object.is_sequence() && object.kind != Kind::range) {
    error("'" + std::string(type_name(object)) + "' object cannot be sliced");
  }
  const auto part = [&](const Value& value, int64_t fallback) {
    if (value.is_none()) return fallback;
    if (!value.is_int()) error("slice indices must be integers or None");
    return value.as_int();
  };
  const int64_t stride = part(step_value, 1);
  if (stride == 0) error("slice step cannot be zero");
  const int64_t size = length(object);
  const auto clamp = [&](const Value& value, int64_t fallback) {
    int64_t index = part(value, fallback);
    if (value.is_none()) return index;
    if (index < 0) index = std::max<int64_t>(index + size, stride < 0 ? -1 : 0);
    return std::min(index, stride < 0 ? size - 1 : size);
  };
  const int64_t start = clamp(from, stride < 0 ? size - 1 : 0);
  const int64_t stop = clamp(to, stride < 0 ? -1 : size);
  RangeObject picked;
  picked.start = start;
  picked.stop = stop;
  picked.step = stride;
  const int64_t count = picked.size();
  if (object.kind == Kind::range) {
    const auto& range = object.as<RangeObject>();
    auto made = std::make_shared<RangeObject>();
    made->start = range.at(start);
    made->step = range.step * std::clamp<int64_t>(stride, -size - 1, size + 1);
    made->stop = made->start + count * made->step;
    return this->object(Kind::range, std::move(made), sizeof(RangeObject));
  }
  if (object.is_sequence()) {
    step(count);
    std::vector<Value> items;
    items.reserve(static_cast<size_t>(count));
    for (int64_t i = 0; i < count; ++i) items.push_back(object.items()[static_cast<size_t>(picked.at(i))]);
    return list(std::move(items), object.kind);
  }
  return slice_string(object.str(), picked);
}

Value Interpreter::slice_string(const Str& str, const RangeObject& picked) {
  const std::string_view view = str.text.view();
  step_bytes(view.size());
  const bool ascii = str.chars == view.size();
  const int64_t count = picked.size();
  if (picked.step == 1) {
    if (count == 0) return string("", true);
    const auto first = static_cast<size_t>(picked.start);
    const auto chars = static_cast<size_t>(count);
    const size_t begin = ascii ? first : char_offset(view, first);
    const size_t end = ascii ? begin + chars : begin + char_offset(view.substr(begin), chars);
    return string(str.text.slice(begin, end));
  }
  std::vector<size_t> starts;
  if (!ascii) {
    step(static_cast<int64_t>(view.size() / 8));
    for (size_t at = 0; at < view.size(); next_char(view, at)) starts.push_back(at);
  }
  step(count / 4);
  Text out;
  for (int64_t i = 0; i < count; ++i) {
    const auto index = static_cast<size_t>(picked.at(i));
    const size_t at = ascii ? index : starts[index];
    out.append(str.text, at, at + char_bytes(view, at));
  }
  return string(std::move(out));
}

}  // namespace autoglm::jinja
