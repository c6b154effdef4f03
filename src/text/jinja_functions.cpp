// Global functions, and methods of what is not a string.
#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>

#include "base/error.h"
#include "text/jinja_builtins.h"

namespace autoglm::jinja {

namespace {

constexpr int64_t kLongestRange = 100000;  // the sandbox's own limit

enum Global : int64_t { kRange, kDict, kLipsum, kCycler, kJoiner, kNamespace, kRaise, kStrftime };
constexpr std::array kGlobals = {"range",  "dict",      "lipsum",          "cycler",
                                 "joiner", "namespace", "raise_exception", "strftime_now"};

Value make_range(Interpreter& in, Args& args) {
  auto bound = in.bind("range", args, {"start", "stop", "step"}, 1);
  auto made = std::make_shared<RangeObject>();
  const int64_t first = int_argument(in, *bound[0], "range: an argument");
  made->start = bound[1] ? first : 0;
  made->stop = bound[1] ? int_argument(in, *bound[1], "range: an argument") : first;
  made->step = bound[2] ? int_argument(in, *bound[2], "range: an argument") : 1;
  if (made->step == 0) in.error("range() arg 3 must not be zero");
  const int64_t size = made->size();
  if (size > kLongestRange || size < 0) {
    in.error("range too big: the sandbox blocks ranges larger than " + std::to_string(kLongestRange));
  }
  return in.object(Kind::range, std::move(made), sizeof(RangeObject));
}

Value make_dict(Interpreter& in, Args& args) {
  std::vector<std::pair<Value, Value>> items;
  if (args.positional.size() > 1) in.error("dict expected at most 1 argument");
  if (!args.positional.empty()) {
    const Value& from = args.positional[0];
    if (from.kind == Kind::dict) {
      items = from.dict().items;
    } else {
      for (const Value& pair : in.iterate(from)) {
        const std::vector<Value> parts = in.iterate(pair);
        if (parts.size() != 2) in.error("dict: every item must be a pair");
        items.emplace_back(parts[0], parts[1]);
      }
    }
  }
  for (auto& [name, value] : args.named) items.emplace_back(in.string(name, true), std::move(value));
  return in.dict(std::move(items));
}

Value make_name_space(Interpreter& in, Args& args) {
  const Value all = make_dict(in, args);
  const Value space = in.make_namespace();
  for (const auto& [key, value] : all.dict().items) {
    if (!key.is_string()) in.error("names in a namespace must be strings");
    in.set_attribute(*space.ref, key.text().bytes(), value);
  }
  return space;
}

Value strftime_now(Interpreter& in, Args& args) {
  auto bound = in.bind("strftime_now", args, {"format"}, 1);
  if (!bound[0]->is_string()) in.error("strftime_now: the format must be str");
  const Text& format = bound[0]->text();
  const auto now = in.now();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  std::tm local{};
  localtime_r(&seconds, &local);
  std::string pattern;  // with %f, which C does not know
  for (size_t i = 0; i < format.size(); ++i) {
    const char c = format.view()[i];
    if (c == '%' && i + 1 < format.size() && format.view()[i + 1] == 'f') {
      const auto micros =
          std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch()).count() % 1000000;
      std::string text = std::to_string(micros);
      pattern += std::string(6 - text.size(), '0') + text;
      ++i;
    } else {
      pattern += c;
      if (c == '%' && i + 1 < format.size()) pattern += format.view()[++i];
    }
  }
  std::array<char, 4096> buffer{};
  pattern += '.';  // tells an empty result from one that does not fit
  const size_t size = std::strftime(buffer.data(), buffer.size(), pattern.c_str(), &local);
  if (size == 0) in.error("strftime_now: the result is too long");
  return in.string(std::string(buffer.data(), size - 1), format.all_template());
}

struct MethodRow {
  Kind kind;
  std::string_view name;
};

constexpr MethodRow kMethods[] = {
    {Kind::dict, "get"},        {Kind::dict, "items"},         {Kind::dict, "keys"},
    {Kind::dict, "values"},     {Kind::dict, "copy"},          {Kind::dict, "fromkeys"},
    {Kind::list, "index"},      {Kind::list, "count"},         {Kind::list, "copy"},
    {Kind::tuple, "index"},     {Kind::tuple, "count"},        {Kind::range, "index"},
    {Kind::range, "count"},     {Kind::loop, "cycle"},         {Kind::loop, "changed"},
    {Kind::cycler, "next"},     {Kind::cycler, "reset"},       {Kind::function, "fromkeys"},
    {Kind::real, "is_integer"}, {Kind::integer, "bit_length"}, {Kind::integer, "is_integer"},
};

Value view_of(Interpreter& in, const Value& self, View::Part part) {
  auto view = std::make_shared<View>();
  view->part = part;
  view->dict = self.object;
  view->depth = self.object->depth;
  return in.object(Kind::view, std::move(view), sizeof(View));
}

Value from_keys(Interpreter& in, Args& args) {
  auto bound = in.bind("fromkeys", args, {"iterable", "value"}, 1);
  std::vector<std::pair<Value, Value>> items;
  for (Value& key : in.iterate(*bound[0])) items.emplace_back(std::move(key), bound[1].value_or(Value::none()));
  return in.dict(std::move(items));
}

Value dict_method(Interpreter& in, const Value& self, std::string_view name, Args& args) {
  if (name == "get") {
    auto bound = in.bind("get", args, {"key", "default"}, 1);
    if (!key_of(*bound[0])) in.error("unhashable type: '" + std::string(type_name(*bound[0])) + "'");
    const Value* found = self.dict().find(*bound[0]);
    return found != nullptr ? *found : bound[1].value_or(Value::none());
  }
  if (name == "fromkeys") return from_keys(in, args);
  in.bind(name, args, {});
  if (name == "copy") return self;
  return view_of(in, self,
                 name == "keys"     ? View::Part::keys
                 : name == "values" ? View::Part::values
                                    : View::Part::items);
}

Value sequence_method(Interpreter& in, const Value& self, std::string_view name, Args& args) {
  if (name == "copy") {
    in.bind(name, args, {});
    return self;
  }
  auto bound = in.bind(name, args, {"value", "start", "stop"}, 1);
  const std::vector<Value> items = in.iterate(self);
  if (name == "count") {
    return Value::of(static_cast<int64_t>(
        std::count_if(items.begin(), items.end(), [&](const Value& item) { return in.equal(item, *bound[0]); })));
  }
  const auto size = static_cast<int64_t>(items.size());
  const auto place = [&](const std::optional<Value>& value, int64_t fallback) {
    if (!value) return fallback;
    const int64_t index = int_argument(in, *value, "a position");
    return std::clamp<int64_t>(index < 0 ? index + size : index, 0, size);
  };
  for (int64_t i = place(bound[1], 0); i < place(bound[2], size); ++i) {
    if (in.equal(items[static_cast<size_t>(i)], *bound[0])) return Value::of(i);
  }
  in.error("the value is not in the list");
}

Value loop_method(Interpreter& in, const Value& self, std::string_view name, Args& args) {
  // The loop object is the interpreter's own; only its memory of the last value changes.
  auto& loop = const_cast<Loop&>(self.as<Loop>());
  if (name == "cycle") {
    if (args.positional.empty()) in.error("no items for cycling given");
    return args.positional[loop.index0 % args.positional.size()];
  }
  Value now = in.list(std::move(args.positional), Kind::tuple);
  if (loop.last_changed && in.equal(*loop.last_changed, now)) return Value::of(false);
  loop.last_changed = std::move(now);
  return Value::of(true);
}

}  // namespace

int64_t global_function(std::string_view name) {
  const auto it = std::find(kGlobals.begin(), kGlobals.end(), name);
  return it == kGlobals.end() ? -1 : it - kGlobals.begin();
}

Value call_function(Interpreter& in, int64_t id, Args args) {
  switch (id) {
    case kRange:
      return make_range(in, args);
    case kDict:
      return make_dict(in, args);
    case kNamespace:
      return make_name_space(in, args);
    case kStrftime:
      return strftime_now(in, args);
    case kRaise: {
      auto bound = in.bind("raise_exception", args, {"message"}, 1);
      fail(Code::bad_template, "the chat template refuses this conversation: " + in.to_text(*bound[0]).bytes());
    }
    case kCycler: {
      if (args.positional.empty()) in.error("at least one item has to be provided");
      auto cycler = std::make_shared<Cycler>();
      cycler->items = std::move(args.positional);
      const auto bytes = static_cast<int64_t>(sizeof(Cycler) + cycler->items.size() * sizeof(Value));
      return in.object(Kind::cycler, std::move(cycler), bytes);
    }
    case kJoiner: {
      auto bound = in.bind("joiner", args, {"sep"});
      auto joiner = std::make_shared<Joiner>();
      joiner->separator = bound[0] ? *bound[0] : in.string(", ", true);
      return in.object(Kind::joiner, std::move(joiner), sizeof(Joiner));
    }
    default:
      in.error("'lipsum' is not supported");
  }
}

bool has_method(const Value& self, std::string_view name) {
  if (self.is_string()) return is_string_method(name);
  if (self.kind == Kind::function && self.integer != kDict) return false;
  return std::any_of(std::begin(kMethods), std::end(kMethods),
                     [&](const MethodRow& row) { return row.kind == self.kind && row.name == name; });
}

bool is_forbidden_method(const Value& self, std::string_view name) {
  static constexpr std::array kDictChanges = {"clear", "pop", "popitem", "setdefault", "update"};
  static constexpr std::array kListChanges = {"append", "clear", "pop",    "reverse",
                                              "insert", "sort",  "extend", "remove"};
  if (self.kind == Kind::dict) return std::find(kDictChanges.begin(), kDictChanges.end(), name) != kDictChanges.end();
  if (self.kind == Kind::list) return std::find(kListChanges.begin(), kListChanges.end(), name) != kListChanges.end();
  return false;
}

Value call_method(Interpreter& in, const Value& self, std::string_view name, Args args) {
  in.step();
  switch (self.kind) {
    case Kind::string:
      return call_string_method(in, self, name, std::move(args));
    case Kind::dict:
      return dict_method(in, self, name, args);
    case Kind::list:
    case Kind::tuple:
    case Kind::range:
      return sequence_method(in, self, name, args);
    case Kind::loop:
      return loop_method(in, self, name, args);
    case Kind::function:
      return from_keys(in, args);
    case Kind::cycler: {
      in.bind(name, args, {});
      const auto& cycler = self.as<Cycler>();
      if (name == "reset") {
        cycler.at = 0;
        return Value::none();
      }
      const Value value = cycler.items[cycler.at];
      cycler.at = (cycler.at + 1) % cycler.items.size();
      return value;
    }
    case Kind::real:
      return Value::of(std::isfinite(self.real) && self.real == std::floor(self.real));
    case Kind::integer: {
      if (name == "is_integer") return Value::of(true);
      const uint64_t magnitude =
          self.integer < 0 ? 0 - static_cast<uint64_t>(self.integer) : static_cast<uint64_t>(self.integer);
      return Value::of(static_cast<int64_t>(64 - (magnitude == 0 ? 64 : __builtin_clzll(magnitude))), self.user);
    }
    default:
      in.error("no method '" + std::string(name) + "'");
  }
}

}  // namespace autoglm::jinja
