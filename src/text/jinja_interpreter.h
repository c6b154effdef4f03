// Runs a Program. One interpreter renders once.
#pragma once

#include <chrono>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/chat_template.h"
#include "text/jinja_ast.h"
#include "text/jinja_value.h"

namespace autoglm::jinja {

struct Scope : std::enable_shared_from_this<Scope> {
  std::shared_ptr<Scope> parent;
  std::vector<std::pair<Symbol, Value>> variables;
  Value* find(Symbol symbol);
  void set(Symbol symbol, Value value);
};

/// Evaluated arguments of a call.
struct Args {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

struct Macro : Object {
  const MacroDef* def = nullptr;
  Scope* scope = nullptr;  // kept by the interpreter
};

struct Loop : Object {
  std::vector<Value> items;
  size_t index0 = 0;
  int depth0 = 0;
  const Stmt* statement = nullptr;  // of a recursive loop
  Scope* scope = nullptr;           // kept by the interpreter; of a recursive loop
  std::optional<Value> last_changed;
};

class Interpreter {
 public:
  Interpreter(const Program& program, const TemplateLimits& limits, std::chrono::system_clock::time_point now);
  ~Interpreter();

  void define(std::string_view name, Value value);
  Text run();

  // Services for built-in functions.

  /// Counts work: about one expression, one list item or 64 bytes a step.
  void step(int64_t count = 1);
  void step_bytes(size_t bytes) { step(1 + static_cast<int64_t>(bytes / 64)); }
  /// Refuses what would not fit in memory, before it is made.
  void check_size(int64_t bytes) const;
  [[noreturn]] void error(const std::string& message) const;
  [[noreturn]] void undefined_error(const Value& value) const;

  Value string(Text text, bool markup = false);
  Value string(std::string text, bool origin) { return string(Text(std::move(text), origin)); }
  Value list(std::vector<Value> items, Kind kind = Kind::list);
  Value group(Value key, Value items);
  Value dict(std::vector<std::pair<Value, Value>> items);
  Value generator(std::string_view name, std::vector<Value> items);
  Value undefined(const std::string& message);
  Value make_namespace();
  void set_attribute(Namespace& space, const std::string& name, Value value);
  Value from_json(const Json& json, int depth = 0);
  /// Charges an object made elsewhere to the budget.
  template <typename T>
  Value object(Kind kind, std::shared_ptr<T> made, int64_t bytes) {
    charge(*made, bytes);
    return Value::of(kind, std::move(made));
  }

  Text to_text(const Value& value);  // str()
  void append_text(Text& out, const Value& value);
  void append_repr(Text& out, const Value& value, int depth = 0);
  bool equal(const Value& a, const Value& b);
  /// Negative, zero or positive; an error if Python has no order for the two.
  int compare(const Value& a, const Value& b, std::string_view op = "<");
  bool ordered(const Value& a, const Value& b, std::string_view op);
  bool contains(const Value& container, const Value& item);
  /// What a for loop sees. An error if it cannot be iterated; a generator is used up.
  std::vector<Value> iterate(const Value& value);
  bool is_iterable(const Value& value) const;
  int64_t length(const Value& value);
  Value get_attr(const Value& object, const Value& name);
  /// What a dot finds before it looks for an item; undefined if there is none.
  Value attribute(const Value& object, const Value& name);
  Value get_item(const Value& object, const Value& key);
  Value slice(const Value& object, const Value& from, const Value& to, const Value& step);
  Value call(const Value& callee, Args args);
  Value binary(ExprKind op, const Value& a, const Value& b);
  std::chrono::system_clock::time_point now() const { return now_; }
  const TemplateLimits& limits() const { return limits_; }

  /// Parameters of a built-in by name and position, as Python binds them; what was not given is empty.
  std::vector<std::optional<Value>> bind(std::string_view function, Args& args,
                                         std::initializer_list<std::string_view> names, size_t required = 0);

 private:
  enum class Flow : uint8_t { normal, loop_break, loop_continue };
  struct Deeper;
  class InScope;
  class RestoreScope;

  void charge(Object& object, int64_t bytes);
  void check_output(const Text& out) const;

  // jinja_interpreter.cpp: statements.
  Flow execute(const Body& body, Text& out);
  Flow execute(const Stmt& stmt, Text& out);
  Flow run_if(const Stmt& stmt, Text& out);
  Flow run_for(const Stmt& stmt, const Value& iterable, int depth0, Text& out);
  Flow run_set_block(const Stmt& stmt);
  Flow run_filter_block(const Stmt& stmt, Text& out);
  Flow run_with(const Stmt& stmt, Text& out);
  void run_call_block(const Stmt& stmt, Text& out);
  Text capture(const Body& body, Flow& flow);
  void write(Text& out, const Text& text);
  void assign(const Target& target, const Value& value);
  Value* find_variable(Symbol symbol);
  Scope* keep(const std::shared_ptr<Scope>& scope);
  Value make_macro(const MacroDef& def);
  Value call_macro(const Macro& macro, Args args);
  Value call_loop(const Loop& loop, Args args);

  // jinja_eval.cpp: expressions.
  Value evaluate(const Expr& expr);
  Value evaluate_operator(const Expr& expr);
  Value lookup(const Expr& expr);
  Value evaluate_dict(const Expr& expr);
  Value evaluate_compare(const Expr& expr);
  /// `subject` is what a filter or set block captured; null in an expression.
  Value evaluate_filter(const Expr& expr, const Value* subject);
  Value evaluate_call(const Expr& expr, const Value* caller);
  Args evaluate_args(const CallArgs& args);
  std::optional<Value> attribute_of(const Value& object, const Value& name);
  std::optional<Value> loop_attribute(const Value& loop, std::string_view name);
  std::optional<Value> item_of(const Value& object, const Value& key);
  Value missing(const Value& object, const Value& key);
  Value slice_string(const Str& str, const RangeObject& picked);

  // jinja_operators.cpp.
  Value add(const Value& a, const Value& b);
  Value multiply(const Value& a, const Value& b);
  Value power(const Value& a, const Value& b);
  Value repeat(const Value& sequence, int64_t times);
  [[noreturn]] void operand_error(std::string_view op, const Value& a, const Value& b) const;
  bool contains_all(const Value& container, const Value& items);
  void set_depth(Object& object, const Value& child) const;
  bool equal_deep(const Value& a, const Value& b, int depth);

  Budget budget_;  // first: every value below refers to it
  const Program& program_;
  TemplateLimits limits_;
  std::chrono::system_clock::time_point now_;
  std::vector<std::unique_ptr<Namespace>> namespaces_;
  std::vector<std::shared_ptr<Scope>> kept_;  // scopes that macros and recursive loops point to
  std::shared_ptr<Scope> root_;
  std::shared_ptr<Scope> scope_;
  int64_t steps_ = 0;
  int64_t buffered_ = 0;  // bytes in all output buffers
  int frames_ = 0;
  int calls_ = 0;
  int line_ = 1;
};

}  // namespace autoglm::jinja
