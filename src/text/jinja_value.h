// Values of the template language: Python's, as far as a sandboxed template can see them. Containers never change once
// made (the sandbox forbids it), so they are shared freely. Namespaces can change and point in a circle: they belong to
// the interpreter and are referred to by plain pointers.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "text/jinja_text.h"

namespace autoglm::jinja {

/// Memory held by the values of one rendering.
struct Budget {
  int64_t live = 0;
  int64_t limit = 0;
};

enum class Kind : uint8_t {
  undefined,  // object: Str with the message, or null
  none,
  boolean,
  integer,
  real,
  string,      // Str
  list,        // List
  tuple,       // List
  dict,        // Dict
  view,        // View: keys, values or items of a dict
  range,       // RangeObject
  generator,   // Generator: can be walked once
  method,      // Method: a method of a value, not yet called
  function,    // a global function: integer holds a Global
  name_space,  // ref: Namespace
  loop,        // Loop
  macro,       // Macro
  cycler,      // Cycler
  joiner,      // Joiner
};

struct Namespace;

/// Heap part of an immutable value; gives its memory back to the budget.
struct Object {
  Object() = default;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  virtual ~Object() {
    if (budget != nullptr) budget->live -= charged;
  }
  Budget* budget = nullptr;
  int64_t charged = 0;
  int depth = 1;  // nesting of containers, limited when they are made
};

struct Str;
struct List;
struct Dict;
struct View;
struct RangeObject;
struct Generator;
struct Method;

struct Value {
  Kind kind = Kind::undefined;
  bool user = false;  // a number or truth value that came from a message, tool or variable
  union {
    bool boolean;
    int64_t integer;
    double real;
    Namespace* ref;
  };
  std::shared_ptr<const Object> object;

  Value() : integer(0) {}
  static Value none() { return scalar(Kind::none); }
  static Value of(bool value, bool from_user = false);
  static Value of(int64_t value, bool from_user = false);
  static Value of(double value, bool from_user = false);
  static Value of(Kind kind, std::shared_ptr<const Object> object);
  static Value of(Namespace* name_space);
  static Value function(int64_t id);

  bool is_undefined() const { return kind == Kind::undefined; }
  bool is_none() const { return kind == Kind::none; }
  bool is_string() const { return kind == Kind::string; }
  bool is_sequence() const { return kind == Kind::list || kind == Kind::tuple; }
  bool is_int() const { return kind == Kind::integer || kind == Kind::boolean; }
  bool is_number() const { return is_int() || kind == Kind::real; }
  /// Of an integer or truth value.
  int64_t as_int() const { return kind == Kind::boolean ? (boolean ? 1 : 0) : integer; }
  double as_real() const { return kind == Kind::real ? real : static_cast<double>(as_int()); }
  const Str& str() const;
  const Text& text() const;
  const std::vector<Value>& items() const;  // of a list or tuple
  const Dict& dict() const;
  template <typename T>
  const T& as() const {
    return static_cast<const T&>(*object);
  }

 private:
  static Value scalar(Kind kind) {
    Value v;
    v.kind = kind;
    return v;
  }
};

struct Str : Object {
  Text text;
  size_t chars = 0;     // code points
  bool markup = false;  // marked safe or escaped: plus and % escape what is added
};

struct List : Object {
  std::vector<Value> items;
  bool group = false;  // the (grouper, list) pair of groupby, whose parts have names
};

/// Insertion order, Python's key equality (1 == 1.0 == True).
struct Dict : Object {
  std::vector<std::pair<Value, Value>> items;
  std::unordered_map<std::string, size_t> index;  // by canonical key, once there are more than a few

  const Value* find(const Value& key) const;
  const Value* find(std::string_view key) const;
  /// Replaces or appends. The key must be hashable.
  void set(const Value& key, Value value);

 private:
  const Value* find_canonical(const std::string& key) const;
};

struct View : Object {
  enum class Part : uint8_t { keys, values, items } part = Part::keys;
  std::shared_ptr<const Object> dict;
};

struct RangeObject : Object {
  int64_t start = 0, stop = 0, step = 1;
  int64_t size() const;
  int64_t at(int64_t i) const { return start + i * step; }
};

struct Generator : Object {
  std::string_view name;  // how Python would call it, for errors
  std::vector<Value> items;
  mutable size_t next = 0;
};

struct Method : Object {
  Value self;
  std::string name;
};

struct Namespace {
  std::vector<std::pair<std::string, Value>> items;
  Value* find(std::string_view name);
};

struct Cycler : Object {
  std::vector<Value> items;
  mutable size_t at = 0;
};

struct Joiner : Object {
  Value separator;
  mutable bool used = false;
};

/// Python's name of the type, for messages.
std::string_view type_name(const Value& value);
/// A string that is equal for equal keys and only for them, or nothing if the value cannot be a key.
std::optional<std::string> key_of(const Value& value);
bool truthy(const Value& value);

}  // namespace autoglm::jinja
