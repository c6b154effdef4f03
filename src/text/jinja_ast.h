// The parsed template. Nodes live in the Program's arenas and refer to each other by plain pointers, so that neither
// copying nor freeing a deep tree recurses.
#pragma once

#include <deque>
#include <string>
#include <unordered_map>
#include <vector>

#include "text/jinja_value.h"

namespace autoglm::jinja {

using Symbol = int;  // a variable's name, interned

enum class ExprKind : uint8_t {
  constant,
  name,
  list,
  tuple,
  dict,
  get_attr,
  get_item,
  slice,
  call,
  filter,
  test,
  negate,
  plus,
  logical_not,
  logical_and,
  logical_or,
  add,
  subtract,
  multiply,
  divide,
  floor_divide,
  modulo,
  power,
  concat,
  compare,
  conditional,
};

enum class CompareOp : uint8_t { eq, ne, lt, le, gt, ge, in, not_in };

struct Expr;

/// Arguments of a call, filter or test.
struct CallArgs {
  std::vector<Expr*> positional;
  std::vector<std::pair<std::string, Expr*>> named;
  Expr* star = nullptr;
  Expr* star_star = nullptr;
};

/// Which fields mean something depends on the kind.
struct Expr {
  ExprKind kind = ExprKind::constant;
  int line = 0;
  Value value;               // constant; get_attr: the name as a string value
  Symbol symbol = -1;        // name
  std::string text;          // name, get_attr, filter, test
  Expr* a = nullptr;         // operand, left side, object; conditional: the test; slice: from
  Expr* b = nullptr;         // right side, index; conditional: if true; slice: to
  Expr* c = nullptr;         // conditional: if false (may be null); slice: step
  std::vector<Expr*> items;  // list, tuple, concat; dict: key, value, key, value; compare: operands after the first
  std::vector<CompareOp> compare;  // compare
  CallArgs args;
};

enum class StmtKind : uint8_t {
  data,
  print,
  block_if,
  block_for,
  set,
  set_block,
  macro,
  call_block,
  filter_block,
  with,
  scope,
  loop_break,
  loop_continue,
};

/// What a set, for or with assigns to: a name, an attribute of a namespace, or a tuple of targets.
struct Target {
  Symbol symbol = -1;
  std::string name;
  std::string attribute;  // not empty: name.attribute
  bool is_tuple = false;
  std::vector<Target> parts;
};

struct Parameter {
  Symbol symbol = -1;
  std::string name;
  Expr* fallback = nullptr;
};

struct Stmt;
using Body = std::vector<Stmt*>;

/// A macro, or the caller of a call block (name empty).
struct MacroDef {
  std::string name;
  Symbol symbol = -1;
  std::vector<Parameter> parameters;
  Body body;
  bool uses_caller = false, uses_varargs = false, uses_kwargs = false;
};

struct Stmt {
  StmtKind kind = StmtKind::data;
  int line = 0;
  Text data;
  Target target;
  Expr* expr = nullptr;  // print, set, for's iterable, set_block's and filter_block's filter, call
  Expr* test = nullptr;  // for ... if
  bool recursive = false;
  bool uses_loop = false;  // whether the body mentions `loop`
  Symbol loop_symbol = -1;
  Body body, else_body;
  std::vector<std::pair<Expr*, Body>> branches;  // if, elif
  std::vector<std::pair<Target, Expr*>> with;
  MacroDef macro;
};

struct Program {
  std::deque<Expr> exprs;
  std::deque<Stmt> stmts;
  std::vector<std::string> symbols;
  std::unordered_map<std::string, Symbol> symbol_ids;
  Body body;

  Symbol intern(const std::string& name);
  /// -1 if the template never mentions it.
  Symbol find(std::string_view name) const;
};

}  // namespace autoglm::jinja
