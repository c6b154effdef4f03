// How the interpreter enters and leaves scopes, and the constants of its limits.
#pragma once

#include "text/jinja_interpreter.h"

namespace autoglm::jinja {

constexpr int64_t kMemoryPerOutputByte = 4;  // values may hold this many times the output limit
constexpr int kFramesPerLevel = 12;          // frames of the evaluator that one level of nesting may take
constexpr int64_t kNamespaceItemBytes = 128;

struct Interpreter::Deeper {
  explicit Deeper(Interpreter& in);
  ~Deeper() { --interpreter.frames_; }
  Deeper(const Deeper&) = delete;
  Deeper& operator=(const Deeper&) = delete;
  Interpreter& interpreter;
};

/// Makes another scope the present one, for as long as it lives.
class Interpreter::RestoreScope {
 public:
  RestoreScope(Interpreter& in, std::shared_ptr<Scope> scope) : in_(in), before_(std::move(in.scope_)) {
    in_.scope_ = std::move(scope);
  }
  ~RestoreScope() { in_.scope_ = std::move(before_); }
  RestoreScope(const RestoreScope&) = delete;
  RestoreScope& operator=(const RestoreScope&) = delete;

 private:
  Interpreter& in_;
  std::shared_ptr<Scope> before_;
};

/// Enters a new scope below `parent`.
class Interpreter::InScope {
 public:
  InScope(Interpreter& in, std::shared_ptr<Scope> parent) : restore_(in, std::make_shared<Scope>()) {
    in.scope_->parent = std::move(parent);
  }

 private:
  RestoreScope restore_;
};

}  // namespace autoglm::jinja
