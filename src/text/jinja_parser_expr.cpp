// Expressions, in Jinja2's order of precedence.
#include <array>

#include "base/error.h"
#include "text/jinja_builtins.h"
#include "text/jinja_parser_impl.h"

namespace autoglm::jinja {

Expr* Parser::make(ExprKind kind, int line, Expr* a, Expr* b) {
  Expr& expr = program_.exprs.emplace_back();
  expr.kind = kind;
  expr.line = line;
  expr.a = a;
  expr.b = b;
  return &expr;
}

Expr* Parser::string_constant(std::string text, int line) {
  Expr* expr = make(ExprKind::constant, line);
  expr->value = constant_string(std::move(text));
  return expr;
}

/// Comma-separated expressions become a tuple; one alone stays what it is.
Expr* Parser::tuple(bool conditional, bool parentheses, std::string_view end_name) {
  const int line = current().line;
  std::vector<Expr*> items;
  bool is_tuple = false;
  while (true) {
    if (!items.empty()) expect_op(",");
    const Token& token = current();
    if (token.type == TokenType::variable_end || token.type == TokenType::block_end || token.is_op(")") ||
        (!end_name.empty() && token.is_name(end_name))) {
      break;
    }
    items.push_back(conditional ? expression() : parse_or());
    if (!current().is_op(",")) break;
    is_tuple = true;
  }
  if (!is_tuple) {
    if (!items.empty()) return items[0];
    if (!parentheses) template_error(current().line, "expected an expression, got " + describe(current()));
  }
  Expr* expr = make(ExprKind::tuple, line);
  expr->items = std::move(items);
  return expr;
}

Expr* Parser::expression() {
  const Nested nested(*this);
  const int line = current().line;
  const size_t known = unknown_.size();
  const bool soft = soft_;
  Expr* value = parse_or();
  while (current().is_name("if")) {
    next();
    unknown_.resize(known);  // a conditional expression makes its parts soft
    soft_ = true;
    Expr* test = parse_or();
    Expr* expr = make(ExprKind::conditional, line, test, value);
    if (skip_name("else")) expr->c = expression();
    value = expr;
  }
  soft_ = soft;
  return value;
}

Expr* Parser::parse_or() {
  Expr* left = parse_and();
  while (current().is_name("or")) {
    const int line = next().line;
    left = make(ExprKind::logical_or, line, left, parse_and());
  }
  return left;
}

Expr* Parser::parse_and() {
  Expr* left = parse_not();
  while (current().is_name("and")) {
    const int line = next().line;
    left = make(ExprKind::logical_and, line, left, parse_not());
  }
  return left;
}

Expr* Parser::parse_not() {
  if (!current().is_name("not")) return parse_compare();
  const Nested nested(*this);
  const int line = next().line;
  return make(ExprKind::logical_not, line, parse_not());
}

Expr* Parser::parse_compare() {
  static constexpr std::array<std::pair<std::string_view, CompareOp>, 6> kOps = {{{"==", CompareOp::eq},
                                                                                  {"!=", CompareOp::ne},
                                                                                  {"<", CompareOp::lt},
                                                                                  {"<=", CompareOp::le},
                                                                                  {">", CompareOp::gt},
                                                                                  {">=", CompareOp::ge}}};
  const int line = current().line;
  Expr* first = parse_sum();
  Expr* result = nullptr;
  while (true) {
    CompareOp op = CompareOp::eq;
    bool found = false;
    for (const auto& [text, candidate] : kOps) {
      if (current().is_op(text)) {
        op = candidate;
        found = true;
      }
    }
    if (found) {
      next();
    } else if (skip_name("in")) {
      op = CompareOp::in;
    } else if (current().is_name("not") && look().is_name("in")) {
      next();
      next();
      op = CompareOp::not_in;
    } else {
      return result == nullptr ? first : result;
    }
    if (result == nullptr) result = make(ExprKind::compare, line, first);
    result->compare.push_back(op);
    Expr* operand = parse_sum();
    result->items.push_back(operand);
  }
}

Expr* Parser::parse_sum() {
  Expr* left = parse_concat();
  while (current().is_op("+") || current().is_op("-")) {
    const Token op = next();
    left = make(op.text == "+" ? ExprKind::add : ExprKind::subtract, op.line, left, parse_concat());
  }
  return left;
}

Expr* Parser::parse_concat() {
  const int line = current().line;
  Expr* first = parse_product();
  if (!current().is_op("~")) return first;
  Expr* expr = make(ExprKind::concat, line);
  expr->items.push_back(first);
  while (skip_op("~")) {
    Expr* item = parse_product();
    expr->items.push_back(item);
  }
  return expr;
}

Expr* Parser::parse_product() {
  Expr* left = parse_power();
  while (current().is_op("*") || current().is_op("/") || current().is_op("//") || current().is_op("%")) {
    const Token op = next();
    const ExprKind kind = op.text == "*"    ? ExprKind::multiply
                          : op.text == "/"  ? ExprKind::divide
                          : op.text == "//" ? ExprKind::floor_divide
                                            : ExprKind::modulo;
    left = make(kind, op.line, left, parse_power());
  }
  return left;
}

Expr* Parser::parse_power() {
  Expr* left = parse_unary();
  while (current().is_op("**")) {
    const int line = next().line;
    left = make(ExprKind::power, line, left, parse_unary());
  }
  return left;
}

Expr* Parser::parse_unary(bool with_filter) {
  Expr* node = nullptr;
  if (current().is_op("-") || current().is_op("+")) {
    const Nested nested(*this);
    const Token op = next();
    node = make(op.text == "-" ? ExprKind::negate : ExprKind::plus, op.line, parse_unary(false));
  } else {
    node = parse_primary();
  }
  node = parse_postfix(node);
  return with_filter ? parse_filters(node) : node;
}

Expr* Parser::parse_primary() {
  const Token token = current();
  switch (token.type) {
    case TokenType::name: {
      next();
      Expr* expr = make(ExprKind::constant, token.line);
      if (token.text == "true" || token.text == "True") {
        expr->value = Value::of(true);
      } else if (token.text == "false" || token.text == "False") {
        expr->value = Value::of(false);
      } else if (token.text == "none" || token.text == "None") {
        expr->value = Value::none();
      } else {
        expr->kind = ExprKind::name;
        expr->text = token.text;
        expr->symbol = program_.intern(token.text);
        saw_caller_ |= token.text == "caller";
        saw_varargs_ |= token.text == "varargs";
        saw_kwargs_ |= token.text == "kwargs";
        saw_loop_ |= token.text == "loop";
      }
      return expr;
    }
    case TokenType::string: {
      std::string text;
      while (current().type == TokenType::string) text += next().text;
      return string_constant(std::move(text), token.line);
    }
    case TokenType::integer:
    case TokenType::real: {
      next();
      Expr* expr = make(ExprKind::constant, token.line);
      expr->value = token.type == TokenType::integer ? Value::of(token.integer) : Value::of(token.real);
      return expr;
    }
    case TokenType::op:
      if (token.text == "(") {
        next();
        Expr* inner = tuple(true, true);
        expect_op(")");
        return inner;
      }
      if (token.text == "[") return parse_list();
      if (token.text == "{") return parse_dict();
      [[fallthrough]];
    default:
      unexpected(token);
  }
}

Expr* Parser::parse_list() {
  Expr* expr = make(ExprKind::list, next().line);
  while (!current().is_op("]")) {
    if (!expr->items.empty()) expect_op(",");
    if (current().is_op("]")) break;
    Expr* item = expression();
    expr->items.push_back(item);
  }
  expect_op("]");
  return expr;
}

Expr* Parser::parse_dict() {
  Expr* expr = make(ExprKind::dict, next().line);
  while (!current().is_op("}")) {
    if (!expr->items.empty()) expect_op(",");
    if (current().is_op("}")) break;
    Expr* key = expression();
    expect_op(":");
    Expr* value = expression();
    expr->items.push_back(key);
    expr->items.push_back(value);
  }
  expect_op("}");
  return expr;
}

Expr* Parser::parse_postfix(Expr* node) {
  while (true) {
    if (current().is_op(".") || current().is_op("[")) {
      node = parse_subscript(node);
    } else if (current().is_op("(")) {
      Expr* call = make(ExprKind::call, current().line, node);
      call->args = call_args();
      node = call;
    } else {
      return node;
    }
  }
}

Expr* Parser::parse_filters(Expr* node) {
  while (true) {
    if (current().is_op("|")) {
      node = parse_filter(node);
    } else if (current().is_name("is")) {
      node = parse_test(node);
    } else if (current().is_op("(")) {
      Expr* call = make(ExprKind::call, current().line, node);
      call->args = call_args();
      node = call;
    } else {
      return node;
    }
  }
}

Expr* Parser::parse_subscript(Expr* node) {
  const Token token = next();
  if (token.is_op(".")) {
    const Token name = next();
    if (name.type == TokenType::name) {
      Expr* expr = make(ExprKind::get_attr, token.line, node);
      expr->text = name.text;
      expr->value = constant_string(name.text);
      return expr;
    }
    if (name.type != TokenType::integer) template_error(name.line, "expected a name or number after '.'");
    Expr* index = make(ExprKind::constant, name.line);
    index->value = Value::of(name.integer);
    return make(ExprKind::get_item, token.line, node, index);
  }
  std::vector<Expr*> items;
  while (!current().is_op("]")) {
    if (!items.empty()) expect_op(",");
    items.push_back(parse_subscribed());
  }
  expect_op("]");
  if (items.size() == 1) return make(ExprKind::get_item, token.line, node, items[0]);
  for (const Expr* item : items) {
    if (item->kind == ExprKind::slice) template_error(token.line, "a slice cannot be one of several subscripts");
  }
  Expr* all = make(ExprKind::tuple, token.line);
  all->items = std::move(items);
  return make(ExprKind::get_item, token.line, node, all);
}

Expr* Parser::parse_subscribed() {
  const Nested nested(*this);
  const int line = current().line;
  Expr* from = nullptr;
  if (!current().is_op(":")) {
    from = expression();
    if (!current().is_op(":")) return from;
  }
  next();
  const auto part = [&]() -> Expr* {
    return current().is_op(":") || current().is_op("]") || current().is_op(",") ? nullptr : expression();
  };
  Expr* to = part();
  Expr* step = skip_op(":") ? part() : nullptr;
  Expr* slice = make(ExprKind::slice, line, from, to);
  slice->c = step;
  return slice;
}

CallArgs Parser::call_args() {
  const int line = current().line;
  expect_op("(");
  CallArgs args;
  const auto ensure = [&](bool ok) {
    if (!ok) template_error(line, "invalid syntax for function call expression");
  };
  bool comma = false;
  while (!current().is_op(")")) {
    if (comma) {
      expect_op(",");
      if (current().is_op(")")) break;
    }
    if (skip_op("*")) {
      ensure(args.star == nullptr && args.star_star == nullptr);
      args.star = expression();
    } else if (skip_op("**")) {
      ensure(args.star_star == nullptr);
      args.star_star = expression();
    } else if (current().type == TokenType::name && look().is_op("=")) {
      ensure(args.star_star == nullptr);
      const std::string name = next().text;
      next();
      for (const auto& [other, value] : args.named) ensure(other != name);
      Expr* value = expression();
      args.named.emplace_back(name, value);
    } else {
      ensure(args.star == nullptr && args.star_star == nullptr && args.named.empty());
      Expr* value = expression();
      args.positional.push_back(value);
    }
    comma = true;
  }
  expect_op(")");
  return args;
}

std::string Parser::dotted_name() {
  std::string name = expect_identifier();
  while (skip_op(".")) name += "." + expect_identifier();
  return name;
}

Expr* Parser::parse_filter(Expr* node, bool inline_start) {
  while (current().is_op("|") || inline_start) {
    if (!inline_start) next();
    inline_start = false;
    const int line = current().line;
    Expr* filter = make(ExprKind::filter, line, node);
    filter->text = dotted_name();
    if (!soft_ && !is_filter(filter->text)) unknown_.emplace_back(line, "no filter named '" + filter->text + "'");
    if (current().is_op("(")) filter->args = call_args();
    node = filter;
  }
  return node;
}

Expr* Parser::parse_test(Expr* node) {
  const int line = next().line;
  const bool negated = skip_name("not");
  Expr* test = make(ExprKind::test, line, node);
  test->text = dotted_name();
  if (!soft_ && !is_test(test->text)) unknown_.emplace_back(line, "no test named '" + test->text + "'");
  const Token& token = current();
  const bool bracket = token.is_op("[") || token.is_op("{");
  if (token.is_op("(")) {
    test->args = call_args();
  } else if (token.type == TokenType::string || token.type == TokenType::integer || token.type == TokenType::real ||
             bracket ||
             (token.type == TokenType::name && token.text != "else" && token.text != "or" && token.text != "and")) {
    if (token.is_name("is")) template_error(token.line, "tests cannot be chained with 'is'");
    const Nested nested(*this);
    Expr* argument = parse_postfix(parse_primary());
    test->args.positional.push_back(argument);
  }
  return negated ? make(ExprKind::logical_not, line, test) : test;
}

}  // namespace autoglm::jinja
