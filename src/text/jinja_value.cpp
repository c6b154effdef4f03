#include "text/jinja_value.h"

#include <cmath>
#include <cstring>

#include "base/error.h"

namespace autoglm::jinja {
namespace {

constexpr size_t kIndexFrom = 8;         // dicts up to this size are searched one by one
constexpr size_t kLongestKey = 1 << 20;  // of a tuple, whose parts may be shared many times over

}  // namespace

Value Value::of(bool value, bool from_user) {
  Value v = scalar(Kind::boolean);
  v.boolean = value;
  v.user = from_user;
  return v;
}

Value Value::of(int64_t value, bool from_user) {
  Value v = scalar(Kind::integer);
  v.integer = value;
  v.user = from_user;
  return v;
}

Value Value::of(double value, bool from_user) {
  Value v = scalar(Kind::real);
  v.real = value;
  v.user = from_user;
  return v;
}

Value Value::of(Kind kind, std::shared_ptr<const Object> object) {
  Value v = scalar(kind);
  v.object = std::move(object);
  return v;
}

Value Value::of(Namespace* name_space) {
  Value v = scalar(Kind::name_space);
  v.ref = name_space;
  return v;
}

Value Value::function(int64_t id) {
  Value v = scalar(Kind::function);
  v.integer = id;
  return v;
}

const Str& Value::str() const { return as<Str>(); }
const Text& Value::text() const { return as<Str>().text; }
const std::vector<Value>& Value::items() const { return as<List>().items; }
const Dict& Value::dict() const { return as<Dict>(); }

const Value* Dict::find_canonical(const std::string& key) const {
  if (items.size() > kIndexFrom) {
    const auto it = index.find(key);
    return it == index.end() ? nullptr : &items[it->second].second;
  }
  for (const auto& [k, v] : items) {
    if (key_of(k) == key) return &v;
  }
  return nullptr;
}

const Value* Dict::find(std::string_view key) const {
  if (items.size() > kIndexFrom) return find_canonical("s" + std::string(key));
  for (const auto& [k, v] : items) {
    if (k.is_string() && k.text().view() == key) return &v;
  }
  return nullptr;
}

const Value* Dict::find(const Value& key) const {
  if (key.is_string()) return find(key.text().view());
  const auto canonical = key_of(key);
  return canonical ? find_canonical(*canonical) : nullptr;
}

void Dict::set(const Value& key, Value value) {
  if (const Value* found = find(key)) {
    *const_cast<Value*>(found) = std::move(value);
    return;
  }
  items.emplace_back(key, std::move(value));
  if (items.size() == kIndexFrom + 1) {
    for (size_t i = 0; i < items.size(); ++i) index.emplace(key_of(items[i].first).value_or(""), i);
  } else if (items.size() > kIndexFrom) {
    index.emplace(key_of(key).value_or(""), items.size() - 1);
  }
}

int64_t RangeObject::size() const {
  if (step > 0)
    return start < stop ? static_cast<int64_t>((static_cast<uint64_t>(stop) - static_cast<uint64_t>(start) - 1) /
                                               static_cast<uint64_t>(step)) +
                              1
                        : 0;
  return start > stop ? static_cast<int64_t>((static_cast<uint64_t>(start) - static_cast<uint64_t>(stop) - 1) /
                                             (0 - static_cast<uint64_t>(step))) +
                            1
                      : 0;
}

Value* Namespace::find(std::string_view name) {
  for (auto& [key, value] : items) {
    if (key == name) return &value;
  }
  return nullptr;
}

std::string_view type_name(const Value& value) {
  switch (value.kind) {
    case Kind::undefined:
      return "Undefined";
    case Kind::none:
      return "NoneType";
    case Kind::boolean:
      return "bool";
    case Kind::integer:
      return "int";
    case Kind::real:
      return "float";
    case Kind::string:
      return "str";
    case Kind::list:
      return "list";
    case Kind::tuple:
      return "tuple";
    case Kind::dict:
      return "dict";
    case Kind::view:
      switch (value.as<View>().part) {
        case View::Part::keys:
          return "dict_keys";
        case View::Part::values:
          return "dict_values";
        case View::Part::items:
          return "dict_items";
      }
      return "view";
    case Kind::range:
      return "range";
    case Kind::generator:
      return "generator";
    case Kind::method:
      return "method";
    case Kind::function:
      return "function";
    case Kind::name_space:
      return "Namespace";
    case Kind::loop:
      return "LoopContext";
    case Kind::macro:
      return "Macro";
    case Kind::cycler:
      return "Cycler";
    case Kind::joiner:
      return "Joiner";
  }
  return "object";
}

std::optional<std::string> key_of(const Value& value) {
  const auto number = [](char tag, const void* bytes) {
    std::string key(1, tag);
    key.append(static_cast<const char*>(bytes), 8);
    return key;
  };
  switch (value.kind) {
    case Kind::none:
      return "n";
    case Kind::undefined:
      return "u";
    case Kind::string:
      return "s" + value.text().bytes();
    case Kind::boolean:
    case Kind::integer: {
      const int64_t i = value.as_int();
      return number('i', &i);
    }
    case Kind::real: {
      const double whole = std::trunc(value.real);
      if (whole == value.real && std::abs(whole) < 9.2e18) {
        const auto i = static_cast<int64_t>(whole);
        return number('i', &i);
      }
      return number('f', &value.real);
    }
    case Kind::tuple: {
      std::string key = "t";
      for (const Value& item : value.items()) {
        const auto part = key_of(item);
        if (!part) return std::nullopt;
        key += std::to_string(part->size());
        key += ':';
        key += *part;
        if (key.size() > kLongestKey) fail(Code::limit_exceeded, "chat template: a tuple is too large to be a key");
      }
      return key;
    }
    case Kind::range: {
      const auto& r = value.as<RangeObject>();
      return "r" + std::to_string(r.start) + ":" + std::to_string(r.size()) + ":" + std::to_string(r.step);
    }
    case Kind::list:
    case Kind::dict:
    case Kind::view:
      return std::nullopt;
    case Kind::function:
      return number('g', &value.integer);
    case Kind::name_space:
      return number('o', static_cast<const void*>(&value.ref));
    case Kind::loop:
    case Kind::macro:
    case Kind::cycler:
    case Kind::joiner:
    case Kind::generator:
    case Kind::method: {
      const Object* p = value.object.get();
      return number('p', static_cast<const void*>(&p));
    }
  }
  return std::nullopt;
}

bool truthy(const Value& value) {
  switch (value.kind) {
    case Kind::undefined:
    case Kind::none:
      return false;
    case Kind::boolean:
      return value.boolean;
    case Kind::integer:
      return value.integer != 0;
    case Kind::real:
      return value.real != 0.0;
    case Kind::string:
      return !value.text().empty();
    case Kind::list:
    case Kind::tuple:
      return !value.items().empty();
    case Kind::dict:
      return !value.dict().items.empty();
    case Kind::view:
      return !static_cast<const Dict&>(*value.as<View>().dict).items.empty();
    case Kind::range:
      return value.as<RangeObject>().size() > 0;
    default:
      return true;
  }
}

}  // namespace autoglm::jinja
