// Statements, scopes, macros and loops.
#include "text/jinja_interpreter.h"

#include <algorithm>

#include "base/error.h"
#include "text/jinja_builtins.h"
#include "text/jinja_lexer.h"
#include "text/jinja_scopes.h"

namespace autoglm::jinja {

Value* Scope::find(Symbol symbol) {
  for (auto it = variables.rbegin(); it != variables.rend(); ++it) {
    if (it->first == symbol) return &it->second;
  }
  return nullptr;
}

void Scope::set(Symbol symbol, Value value) {
  if (Value* found = find(symbol)) {
    *found = std::move(value);
  } else {
    variables.emplace_back(symbol, std::move(value));
  }
}

Interpreter::Interpreter(const Program& program, const TemplateLimits& limits,
                         std::chrono::system_clock::time_point now)
    : program_(program), limits_(limits), now_(now), root_(std::make_shared<Scope>()), scope_(root_) {
  budget_.limit = kMemoryPerOutputByte * limits.output_bytes;
}

Interpreter::~Interpreter() {
  for (auto& space : namespaces_) space->items.clear();
}

void Interpreter::define(std::string_view name, Value value) {
  const Symbol symbol = program_.find(name);
  if (symbol >= 0) root_->set(symbol, std::move(value));
}

Text Interpreter::run() {
  Text out;
  execute(program_.body, out);
  check_output(out);
  return out;
}

void Interpreter::step(int64_t count) {
  steps_ += count;
  if (steps_ > limits_.steps) {
    fail(Code::limit_exceeded,
         "chat template, line " + std::to_string(line_) + ": more than " + std::to_string(limits_.steps) + " steps");
  }
}

void Interpreter::check_size(int64_t bytes) const {
  if (bytes > budget_.limit - budget_.live) {
    fail(Code::limit_exceeded, "chat template, line " + std::to_string(line_) + ": needs more than " +
                                   std::to_string(budget_.limit >> 20) + " MiB of memory");
  }
}

void Interpreter::check_output(const Text& out) const {
  if (static_cast<int64_t>(out.size()) > limits_.output_bytes) {
    fail(Code::limit_exceeded, "chat template, line " + std::to_string(line_) + ": more than " +
                                   std::to_string(limits_.output_bytes) + " bytes of output");
  }
}

void Interpreter::charge(Object& object, int64_t bytes) {
  check_size(bytes);
  object.budget = &budget_;
  object.charged = bytes;
  budget_.live += bytes;
}

void Interpreter::error(const std::string& message) const { template_error(line_, message); }

Interpreter::Deeper::Deeper(Interpreter& in) : interpreter(in) {
  if (++in.frames_ > kFramesPerLevel * in.limits_.depth) {
    --in.frames_;
    fail(Code::limit_exceeded, "chat template, line " + std::to_string(in.line_) + ": nested too deep");
  }
}

Text Interpreter::capture(const Body& body, Flow& flow) {
  Text out;
  flow = execute(body, out);
  buffered_ -= static_cast<int64_t>(out.size());
  return out;
}

void Interpreter::write(Text& out, const Text& text) {
  step_bytes(text.size());
  buffered_ += static_cast<int64_t>(text.size());
  if (buffered_ > 2 * limits_.output_bytes) check_size(budget_.limit + 1);
  out.append(text);
  check_output(out);
}

Interpreter::Flow Interpreter::execute(const Body& body, Text& out) {
  const Deeper deeper(*this);
  for (const Stmt* stmt : body) {
    line_ = stmt->line;
    step();
    if (const Flow flow = execute(*stmt, out); flow != Flow::normal) return flow;
  }
  return Flow::normal;
}

Interpreter::Flow Interpreter::execute(const Stmt& stmt, Text& out) {
  switch (stmt.kind) {
    case StmtKind::data:
      write(out, stmt.data);
      return Flow::normal;
    case StmtKind::print: {
      const Value value = evaluate(*stmt.expr);
      if (value.is_string()) {
        write(out, value.text());
      } else {
        write(out, to_text(value));
      }
      return Flow::normal;
    }
    case StmtKind::block_if:
      return run_if(stmt, out);
    case StmtKind::block_for:
      return run_for(stmt, evaluate(*stmt.expr), 0, out);
    case StmtKind::set:
      assign(stmt.target, evaluate(*stmt.expr));
      return Flow::normal;
    case StmtKind::set_block:
      return run_set_block(stmt);
    case StmtKind::macro:
      scope_->set(stmt.macro.symbol, make_macro(stmt.macro));
      return Flow::normal;
    case StmtKind::call_block:
      run_call_block(stmt, out);
      return Flow::normal;
    case StmtKind::filter_block:
      return run_filter_block(stmt, out);
    case StmtKind::with:
      return run_with(stmt, out);
    case StmtKind::scope: {
      const InScope inner(*this, scope_);
      Flow flow = Flow::normal;
      write(out, capture(stmt.body, flow));
      return flow;
    }
    case StmtKind::loop_break:
      return Flow::loop_break;
    case StmtKind::loop_continue:
      return Flow::loop_continue;
  }
  return Flow::normal;
}

Interpreter::Flow Interpreter::run_if(const Stmt& stmt, Text& out) {
  for (const auto& [test, body] : stmt.branches) {
    if (truthy(evaluate(*test))) return execute(body, out);
  }
  return execute(stmt.else_body, out);
}

Interpreter::Flow Interpreter::run_for(const Stmt& stmt, const Value& iterable, int depth0, Text& out) {
  const std::shared_ptr<Scope> outer = scope_;
  std::vector<Value> items = iterate(iterable);
  const auto accepted = [&](const Value& item) {
    const InScope inner(*this, outer);
    assign(stmt.target, item);
    return truthy(evaluate(*stmt.test));
  };
  std::shared_ptr<Loop> loop;
  Value loop_value;
  if (stmt.uses_loop) {
    if (stmt.test != nullptr) std::erase_if(items, [&](const Value& item) { return !accepted(item); });
    loop = std::make_shared<Loop>();
    loop->depth0 = depth0;
    if (stmt.recursive) {
      loop->statement = &stmt;
      loop->scope = keep(outer);
    }
    const auto bytes = static_cast<int64_t>(sizeof(Loop) + items.size() * sizeof(Value));
    loop->items.swap(items);
    loop_value = object(Kind::loop, loop, bytes);
  }
  const std::vector<Value>& all = loop ? loop->items : items;
  bool completed = false;  // Jinja2 runs the else part unless a body ran to its end
  for (size_t i = 0; i < all.size(); ++i) {
    step();
    if (!loop && stmt.test != nullptr && !accepted(all[i])) continue;
    const InScope inner(*this, outer);
    if (loop) {
      loop->index0 = i;
      scope_->set(stmt.loop_symbol, loop_value);
    }
    assign(stmt.target, all[i]);
    const Flow flow = execute(stmt.body, out);
    if (flow == Flow::loop_break) break;
    completed |= flow == Flow::normal;
  }
  if (completed || stmt.else_body.empty()) return Flow::normal;
  const InScope inner(*this, outer);
  return execute(stmt.else_body, out);
}

Interpreter::Flow Interpreter::run_set_block(const Stmt& stmt) {
  Value value;
  {
    const InScope inner(*this, scope_);
    Flow flow = Flow::normal;
    value = string(capture(stmt.body, flow));
    if (flow != Flow::normal) return flow;
    if (stmt.expr != nullptr) value = evaluate_filter(*stmt.expr, &value);
  }
  assign(stmt.target, value);
  return Flow::normal;
}

Interpreter::Flow Interpreter::run_filter_block(const Stmt& stmt, Text& out) {
  const InScope inner(*this, scope_);
  Flow flow = Flow::normal;
  const Value body = string(capture(stmt.body, flow));
  if (flow == Flow::normal) write(out, to_text(evaluate_filter(*stmt.expr, &body)));
  return flow;
}

Interpreter::Flow Interpreter::run_with(const Stmt& stmt, Text& out) {
  std::vector<Value> values;
  values.reserve(stmt.with.size());
  for (const auto& [target, expr] : stmt.with) values.push_back(evaluate(*expr));
  const InScope inner(*this, scope_);
  for (size_t i = 0; i < values.size(); ++i) assign(stmt.with[i].first, values[i]);
  return execute(stmt.body, out);
}

void Interpreter::run_call_block(const Stmt& stmt, Text& out) {
  const Value caller = make_macro(stmt.macro);
  write(out, to_text(evaluate_call(*stmt.expr, &caller)));
}

void Interpreter::assign(const Target& target, const Value& value) {
  if (target.is_tuple) {
    const std::vector<Value> items = iterate(value);
    if (items.size() != target.parts.size()) {
      error("cannot unpack " + std::to_string(items.size()) + " values into " + std::to_string(target.parts.size()) +
            " names");
    }
    for (size_t i = 0; i < items.size(); ++i) assign(target.parts[i], items[i]);
    return;
  }
  if (target.attribute.empty()) return scope_->set(target.symbol, value);
  const Value* space = find_variable(target.symbol);
  if (space == nullptr || space->kind != Kind::name_space) error("cannot assign attribute on non-namespace object");
  set_attribute(*space->ref, target.attribute, value);
}

void Interpreter::set_attribute(Namespace& space, const std::string& name, Value value) {
  if (name.starts_with('_')) error("names that start with '_' cannot be stored in a namespace ('" + name + "')");
  if (Value* found = space.find(name)) {
    *found = std::move(value);
  } else {
    check_size(kNamespaceItemBytes);
    budget_.live += kNamespaceItemBytes;
    space.items.emplace_back(name, std::move(value));
  }
}

Value* Interpreter::find_variable(Symbol symbol) {
  for (Scope* scope = scope_.get(); scope != nullptr; scope = scope->parent.get()) {
    if (Value* found = scope->find(symbol)) return found;
  }
  return nullptr;
}

Scope* Interpreter::keep(const std::shared_ptr<Scope>& scope) {
  if (kept_.empty() || kept_.back() != scope) {
    const auto bytes =
        static_cast<int64_t>(sizeof(Scope) + (scope->variables.size() + 8) * sizeof(scope->variables[0]));
    check_size(bytes);
    budget_.live += bytes;
    kept_.push_back(scope);
  }
  return scope.get();
}

Value Interpreter::make_macro(const MacroDef& def) {
  auto macro = std::make_shared<Macro>();
  macro->def = &def;
  macro->scope = keep(scope_);
  return object(Kind::macro, std::move(macro), sizeof(Macro));
}

Value Interpreter::call_macro(const Macro& macro, Args args) {
  const MacroDef& def = *macro.def;
  const std::string shown = def.name.empty() ? "caller" : "'" + def.name + "'";
  const InScope inner(*this, macro.scope->shared_from_this());
  const auto take = [&](std::string_view name) -> std::optional<Value> {
    for (auto it = args.named.begin(); it != args.named.end(); ++it) {
      if (it->first != name) continue;
      Value value = std::move(it->second);
      args.named.erase(it);
      return value;
    }
    return std::nullopt;
  };
  bool explicit_caller = false;
  for (size_t i = 0; i < def.parameters.size(); ++i) {
    const Parameter& parameter = def.parameters[i];
    explicit_caller |= parameter.name == "caller";
    std::optional<Value> value = i < args.positional.size() ? args.positional[i] : take(parameter.name);
    if (!value && parameter.fallback != nullptr) value = evaluate(*parameter.fallback);
    if (!value) value = undefined("parameter '" + parameter.name + "' was not provided");
    scope_->set(parameter.symbol, std::move(*value));
  }
  if (def.uses_caller && !explicit_caller) {
    std::optional<Value> caller = take("caller");
    scope_->set(program_.find("caller"), caller ? *caller : undefined("No caller defined"));
  }
  if (def.uses_kwargs) {
    std::vector<std::pair<Value, Value>> rest;
    rest.reserve(args.named.size());
    for (auto& [name, value] : args.named) rest.emplace_back(string(name, true), std::move(value));
    scope_->set(program_.find("kwargs"), dict(std::move(rest)));
  } else if (!args.named.empty()) {
    error("macro " + shown + " takes no keyword argument '" + args.named[0].first + "'");
  }
  const size_t count = def.parameters.size();
  if (def.uses_varargs) {
    std::vector<Value> rest;
    for (size_t i = count; i < args.positional.size(); ++i) rest.push_back(args.positional[i]);
    scope_->set(program_.find("varargs"), list(std::move(rest), Kind::tuple));
  } else if (args.positional.size() > count) {
    error("macro " + shown + " takes not more than " + std::to_string(count) + " argument(s)");
  }
  Flow flow = Flow::normal;
  return string(capture(def.body, flow));
}

Value Interpreter::call_loop(const Loop& loop, Args args) {
  if (loop.statement == nullptr) error("the loop must have the 'recursive' marker to be called");
  auto bound = bind("loop", args, {"iterable"}, 1);
  const RestoreScope restore(*this, loop.scope->shared_from_this());
  Text out;
  run_for(*loop.statement, *bound[0], loop.depth0 + 1, out);
  buffered_ -= static_cast<int64_t>(out.size());
  return string(std::move(out));
}

Value Interpreter::call(const Value& callee, Args args) {
  struct Calls {
    explicit Calls(Interpreter& i) : in(i) { ++in.calls_; }
    ~Calls() { --in.calls_; }
    Interpreter& in;
  } const calls(*this);
  if (calls_ > limits_.depth) {
    fail(Code::limit_exceeded, "chat template, line " + std::to_string(line_) + ": calls nested deeper than " +
                                   std::to_string(limits_.depth));
  }
  switch (callee.kind) {
    case Kind::function:
      return call_function(*this, callee.integer, std::move(args));
    case Kind::method:
      return call_method(*this, callee.as<Method>().self, callee.as<Method>().name, std::move(args));
    case Kind::macro:
      return call_macro(callee.as<Macro>(), std::move(args));
    case Kind::loop:
      return call_loop(callee.as<Loop>(), std::move(args));
    case Kind::joiner: {
      const auto& joiner = callee.as<Joiner>();
      if (joiner.used) return joiner.separator;
      joiner.used = true;
      return string("", true);
    }
    case Kind::undefined:
      undefined_error(callee);
    default:
      error("'" + std::string(type_name(callee)) + "' object is not callable");
  }
}

std::vector<std::optional<Value>> Interpreter::bind(std::string_view function, Args& args,
                                                    std::initializer_list<std::string_view> names, size_t required) {
  std::vector<std::optional<Value>> bound(names.size());
  const auto complain = [&](const std::string& what) { error(std::string(function) + ": " + what); };
  if (args.positional.size() > names.size()) {
    complain("takes at most " + std::to_string(names.size()) + " argument(s), got " +
             std::to_string(args.positional.size()));
  }
  for (size_t i = 0; i < args.positional.size(); ++i) bound[i] = std::move(args.positional[i]);
  for (auto& [name, value] : args.named) {
    const auto it = std::find(names.begin(), names.end(), name);
    if (it == names.end()) complain("has no argument '" + name + "'");
    auto& slot = bound[static_cast<size_t>(it - names.begin())];
    if (slot) complain("got two values for '" + name + "'");
    slot = std::move(value);
  }
  for (size_t i = 0; i < required; ++i) {
    if (!bound[i]) complain("needs the argument '" + std::string(names.begin()[i]) + "'");
  }
  return bound;
}

}  // namespace autoglm::jinja
