// The parser's state, shared by its two files (statements and expressions).
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja_ast.h"
#include "text/jinja_lexer.h"

namespace autoglm::jinja {

class Parser {
 public:
  Parser(std::vector<Token> tokens, Program& program, int depth)
      : tokens_(std::move(tokens)), program_(program), max_depth_(depth) {}
  void run();

 private:
  using Ends = std::initializer_list<std::string_view>;

  // Tokens.
  const Token& current() const { return tokens_[at_]; }
  const Token& look() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  Token next() { return at_ + 1 < tokens_.size() ? tokens_[at_++] : tokens_.back(); }
  bool skip_op(std::string_view op);
  bool skip_name(std::string_view name);
  void expect_op(std::string_view op);
  void expect_name(std::string_view name);
  std::string expect_identifier();
  [[noreturn]] void unexpected(const Token& token) const;

  // Statements (jinja_parser.cpp).
  Body subparse(Ends ends);
  Body statements(Ends ends);
  void block_end();
  Stmt* statement();
  Stmt* parse_for();
  Stmt* parse_if();
  Stmt* parse_set();
  Stmt* parse_with();
  Stmt* parse_macro();
  Stmt* parse_call_block();
  Stmt* parse_filter_block();
  Stmt* parse_scope(std::string_view end);
  Body macro_body(MacroDef& macro, std::string_view end);
  void signature(MacroDef& macro);
  Target target(bool with_namespace);
  Target one_target(bool with_namespace);
  Target name_target();
  Stmt* make(StmtKind kind, int line);
  void print_into(Body& body);

  // Expressions (jinja_parser_expr.cpp).
  Expr* expression();
  Expr* tuple(bool conditional, bool parentheses = false, std::string_view end_name = {});
  Expr* parse_or();
  Expr* parse_and();
  Expr* parse_not();
  Expr* parse_compare();
  Expr* parse_sum();
  Expr* parse_concat();
  Expr* parse_product();
  Expr* parse_power();
  Expr* parse_unary(bool with_filter = true);
  Expr* parse_primary();
  Expr* parse_postfix(Expr* node);
  Expr* parse_filters(Expr* node);
  Expr* parse_filter(Expr* node, bool inline_start = false);
  Expr* parse_test(Expr* node);
  Expr* parse_subscript(Expr* node);
  Expr* parse_subscribed();
  Expr* parse_dict();
  Expr* parse_list();
  CallArgs call_args();
  Expr* make(ExprKind kind, int line, Expr* a = nullptr, Expr* b = nullptr);
  Expr* string_constant(std::string text, int line);
  std::string dotted_name();

  struct Nested {
    explicit Nested(Parser& p);
    ~Nested() { --parser.depth_; }
    Parser& parser;
  };

  std::vector<Token> tokens_;
  size_t at_ = 0;
  Program& program_;
  int max_depth_;
  int depth_ = 0;
  bool in_loop_ = false;
  bool soft_ = false;  // inside an if: an unknown filter or test is an error only when it runs, as in Jinja2
  std::vector<std::pair<int, std::string>> unknown_;  // unknown filters and tests that are not soft: line and message
  // The special names that the macro or loop being parsed mentions.
  bool saw_caller_ = false, saw_varargs_ = false, saw_kwargs_ = false, saw_loop_ = false;
};

}  // namespace autoglm::jinja
