#include "text/jinja_parser.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "text/jinja_parser_impl.h"

namespace autoglm::jinja {
namespace {

bool any_of(const Token& token, std::initializer_list<std::string_view> names) {
  return token.type == TokenType::name && std::find(names.begin(), names.end(), token.text) != names.end();
}

/// Sets a flag for the length of a block.
class Flag {
 public:
  Flag(bool& flag, bool value) : flag_(flag), before_(flag) { flag = value; }
  ~Flag() { flag_ = before_; }
  Flag(const Flag&) = delete;
  Flag& operator=(const Flag&) = delete;

 private:
  bool& flag_;
  bool before_;
};

}  // namespace

Symbol Program::intern(const std::string& name) {
  const auto [it, added] = symbol_ids.emplace(name, static_cast<Symbol>(symbols.size()));
  if (added) symbols.push_back(name);
  return it->second;
}

Symbol Program::find(std::string_view name) const {
  const auto it = symbol_ids.find(std::string(name));
  return it == symbol_ids.end() ? -1 : it->second;
}

Parser::Nested::Nested(Parser& p) : parser(p) {
  if (++parser.depth_ > parser.max_depth_) {
    --parser.depth_;
    fail(Code::limit_exceeded, "chat template, line " + std::to_string(p.current().line) + ": nested deeper than " +
                                   std::to_string(p.max_depth_) + " levels");
  }
}

bool Parser::skip_op(std::string_view op) {
  if (!current().is_op(op)) return false;
  next();
  return true;
}

bool Parser::skip_name(std::string_view name) {
  if (!current().is_name(name)) return false;
  next();
  return true;
}

void Parser::expect_op(std::string_view op) {
  if (!skip_op(op)) {
    template_error(current().line, "expected '" + std::string(op) + "', got " + describe(current()));
  }
}

void Parser::expect_name(std::string_view name) {
  if (!skip_name(name)) {
    template_error(current().line, "expected '" + std::string(name) + "', got " + describe(current()));
  }
}

std::string Parser::expect_identifier() {
  if (current().type != TokenType::name) template_error(current().line, "expected a name, got " + describe(current()));
  return next().text;
}

void Parser::unexpected(const Token& token) const { template_error(token.line, "unexpected " + describe(token)); }

void Parser::run() {
  program_.body = subparse({});
  if (current().type != TokenType::end) unexpected(current());
  if (!unknown_.empty()) template_error(unknown_[0].first, unknown_[0].second);
}

Stmt* Parser::make(StmtKind kind, int line) {
  Stmt& stmt = program_.stmts.emplace_back();
  stmt.kind = kind;
  stmt.line = line;
  return &stmt;
}

void Parser::print_into(Body& body) {
  Stmt* stmt = make(StmtKind::print, current().line);
  stmt->expr = tuple(true);
  body.push_back(stmt);
}

Body Parser::subparse(Ends ends) {
  const Nested nested(*this);
  Body body;
  while (true) {
    switch (current().type) {
      case TokenType::data: {
        const Token token = next();
        Stmt* stmt = make(StmtKind::data, token.line);
        stmt->data = Text(token.text, true);
        body.push_back(stmt);
        break;
      }
      case TokenType::variable_begin:
        next();
        print_into(body);
        if (current().type != TokenType::variable_end) {
          template_error(current().line, "expected end of print statement, got " + describe(current()));
        }
        next();
        break;
      case TokenType::block_begin:
        next();
        if (any_of(current(), ends)) return body;
        if (current().is_name("print")) {
          next();
          while (current().type != TokenType::block_end) {
            Stmt* stmt = make(StmtKind::print, current().line);
            stmt->expr = expression();
            body.push_back(stmt);
            if (current().type != TokenType::block_end) expect_op(",");
          }
        } else {
          body.push_back(statement());
        }
        block_end();
        break;
      case TokenType::end:
        if (ends.size() > 0) {
          template_error(current().line, "unexpected end of template, expected '" + std::string(*ends.begin()) + "'");
        }
        return body;
      default:
        unexpected(current());
    }
  }
}

void Parser::block_end() {
  if (current().type != TokenType::block_end) {
    template_error(current().line, "expected end of statement block, got " + describe(current()));
  }
  next();
}

/// The body up to one of `ends`; the current token is then that name.
Body Parser::statements(Ends ends) {
  skip_op(":");
  block_end();
  return subparse(ends);
}

Stmt* Parser::statement() {
  const Token& token = current();
  if (token.type != TokenType::name) template_error(token.line, "expected a tag name, got " + describe(token));
  const std::string& name = token.text;
  if (name == "for") return parse_for();
  if (name == "if") return parse_if();
  if (name == "set") return parse_set();
  if (name == "with") return parse_with();
  if (name == "macro") return parse_macro();
  if (name == "call") return parse_call_block();
  if (name == "filter") return parse_filter_block();
  if (name == "generation") return parse_scope("endgeneration");
  if (name == "break" || name == "continue") {
    if (!in_loop_) template_error(token.line, "'" + name + "' outside of a loop");
    const Token keyword = next();
    return make(keyword.text == "break" ? StmtKind::loop_break : StmtKind::loop_continue, keyword.line);
  }
  static constexpr std::array kRefused = {"include", "import", "from", "extends", "block", "autoescape"};
  for (const std::string_view refused : kRefused) {
    if (name == refused) {
      template_error(token.line, "'" + name + "' is not supported: a chat template is one file that writes plain text");
    }
  }
  template_error(token.line, "unknown tag '" + name + "'");
}

Stmt* Parser::parse_for() {
  Stmt* stmt = make(StmtKind::block_for, next().line);
  stmt->target = target(false);
  expect_name("in");
  stmt->expr = tuple(false, false, "recursive");
  if (skip_name("if")) stmt->test = expression();
  stmt->recursive = skip_name("recursive");
  const Flag hard(soft_, false);
  {
    const Flag loop(in_loop_, true);
    const bool saw = saw_loop_;
    saw_loop_ = false;
    stmt->body = statements({"endfor", "else"});
    stmt->uses_loop = saw_loop_;
    saw_loop_ |= saw;
    stmt->loop_symbol = program_.intern("loop");
  }
  if (next().text == "else") {
    stmt->else_body = statements({"endfor"});
    next();
  }
  return stmt;
}

Stmt* Parser::parse_if() {
  const Flag soft(soft_, true);
  Stmt* stmt = make(StmtKind::block_if, next().line);
  while (true) {
    Expr* test = tuple(false);
    stmt->branches.emplace_back(test, statements({"elif", "else", "endif"}));
    const Token end = next();
    if (end.text == "elif") continue;
    if (end.text == "else") {
      stmt->else_body = statements({"endif"});
      next();
    }
    return stmt;
  }
}

Target Parser::name_target() {
  const Token token = current();
  Target target;
  target.name = expect_identifier();
  static constexpr std::array kConstants = {"true", "false", "none", "True", "False", "None"};
  if (std::find(kConstants.begin(), kConstants.end(), target.name) != kConstants.end()) {
    template_error(token.line, "cannot assign to '" + target.name + "'");
  }
  target.symbol = program_.intern(target.name);
  return target;
}

Target Parser::one_target(bool with_namespace) {
  const Nested nested(*this);
  if (skip_op("(")) {
    Target inner = target(with_namespace);
    expect_op(")");
    return inner;
  }
  Target result = name_target();
  if (with_namespace && skip_op(".")) result.attribute = expect_identifier();
  return result;
}

Target Parser::target(bool with_namespace) {
  Target first = one_target(with_namespace);
  if (!current().is_op(",")) return first;
  Target all;
  all.is_tuple = true;
  all.parts.push_back(std::move(first));
  while (skip_op(",")) {
    if (current().is_name("in") || current().is_op("=") || current().is_op(")") ||
        current().type == TokenType::block_end)
      break;
    all.parts.push_back(one_target(with_namespace));
  }
  return all;
}

Stmt* Parser::parse_set() {
  Stmt* stmt = make(StmtKind::set, next().line);
  stmt->target = target(true);
  if (skip_op("=")) {
    stmt->expr = tuple(true);
    return stmt;
  }
  stmt->kind = StmtKind::set_block;
  stmt->expr = parse_filter(nullptr);
  const Flag hard(soft_, false);
  stmt->body = statements({"endset"});
  next();
  return stmt;
}

Stmt* Parser::parse_with() {
  Stmt* stmt = make(StmtKind::with, next().line);
  while (current().type != TokenType::block_end) {
    if (!stmt->with.empty()) expect_op(",");
    Target name = one_target(false);
    expect_op("=");
    stmt->with.emplace_back(std::move(name), expression());
  }
  const Flag hard(soft_, false);
  stmt->body = statements({"endwith"});
  next();
  return stmt;
}

void Parser::signature(MacroDef& macro) {
  expect_op("(");
  while (!current().is_op(")")) {
    if (!macro.parameters.empty()) expect_op(",");
    const Token at = current();
    const Target name = name_target();
    Parameter parameter{name.symbol, name.name, nullptr};
    if (skip_op("=")) {
      parameter.fallback = expression();
    } else if (!macro.parameters.empty() && macro.parameters.back().fallback != nullptr) {
      template_error(at.line, "non-default argument follows default argument");
    }
    macro.parameters.push_back(std::move(parameter));
  }
  expect_op(")");
}

Body Parser::macro_body(MacroDef& macro, std::string_view end) {
  const Flag hard(soft_, false);
  const Flag loop(in_loop_, false);
  const bool caller = saw_caller_, varargs = saw_varargs_, kwargs = saw_kwargs_;
  saw_caller_ = saw_varargs_ = saw_kwargs_ = false;
  Body body = statements({end});
  next();
  macro.uses_caller = saw_caller_;
  macro.uses_varargs = saw_varargs_;
  macro.uses_kwargs = saw_kwargs_;
  saw_caller_ |= caller;
  saw_varargs_ |= varargs;
  saw_kwargs_ |= kwargs;
  return body;
}

Stmt* Parser::parse_macro() {
  Stmt* stmt = make(StmtKind::macro, next().line);
  const Target name = name_target();
  stmt->macro.name = name.name;
  stmt->macro.symbol = name.symbol;
  signature(stmt->macro);
  stmt->macro.body = macro_body(stmt->macro, "endmacro");
  return stmt;
}

Stmt* Parser::parse_call_block() {
  Stmt* stmt = make(StmtKind::call_block, next().line);
  if (current().is_op("(")) signature(stmt->macro);
  stmt->expr = expression();
  if (stmt->expr->kind != ExprKind::call) template_error(stmt->line, "expected a call");
  stmt->macro.body = macro_body(stmt->macro, "endcall");
  return stmt;
}

Stmt* Parser::parse_filter_block() {
  Stmt* stmt = make(StmtKind::filter_block, next().line);
  stmt->expr = parse_filter(nullptr, true);
  const Flag hard(soft_, false);
  stmt->body = statements({"endfilter"});
  next();
  return stmt;
}

/// {% generation %} marks what the assistant writes, for training; here it is only a scope.
Stmt* Parser::parse_scope(std::string_view end) {
  Stmt* stmt = make(StmtKind::scope, next().line);
  const Flag hard(soft_, false);
  const Flag loop(in_loop_, false);
  stmt->body = statements({end});
  next();
  return stmt;
}

std::unique_ptr<Program> parse_program(std::string_view source, int depth) {
  auto program = std::make_unique<Program>();
  Parser(tokenize(source), *program, depth).run();
  return program;
}

}  // namespace autoglm::jinja
