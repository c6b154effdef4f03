// The tests behind `is`.
#include <algorithm>
#include <functional>

#include "text/jinja_builtins.h"

namespace autoglm::jinja {
namespace {

using Test = bool (*)(Interpreter& in, const Value& v, Args& args);

struct TestRow {
  std::string_view name;
  Test test;
  int arguments;
};

bool divides(Interpreter& in, const Value& v, const Value& by) {
  const Value rest = in.binary(ExprKind::modulo, v, by);
  return rest.is_number() && rest.as_real() == 0.0;
}

bool odd(Interpreter& in, const Value& v) {
  const Value rest = in.binary(ExprKind::modulo, v, Value::of(int64_t{2}));
  return rest.is_number() && rest.as_real() == 1.0;
}

bool same(const Value& a, const Value& b) {
  if (a.kind != b.kind) return false;
  if (a.kind == Kind::none) return true;
  if (a.kind == Kind::boolean || a.kind == Kind::integer) return a.integer == b.integer && a.as_int() == b.as_int();
  if (a.kind == Kind::name_space) return a.ref == b.ref;
  if (a.is_string()) return a.object == b.object || a.text().view() == b.text().view();
  return a.object != nullptr && a.object == b.object;
}

bool is_case(Interpreter& in, const Value& v, std::string_view method) {
  return truthy(call_string_method(in, in.string(in.to_text(v)), method, {}));
}

bool callable(const Value& v) {
  return v.kind == Kind::method || v.kind == Kind::function || v.kind == Kind::macro || v.kind == Kind::joiner ||
         v.kind == Kind::loop || v.is_undefined();
}

bool eq(Interpreter& in, const Value& v, Args& a) { return in.equal(v, a.positional[0]); }
bool ne(Interpreter& in, const Value& v, Args& a) { return !in.equal(v, a.positional[0]); }
bool lt(Interpreter& in, const Value& v, Args& a) { return in.ordered(v, a.positional[0], "<"); }
bool le(Interpreter& in, const Value& v, Args& a) { return in.ordered(v, a.positional[0], "<="); }
bool gt(Interpreter& in, const Value& v, Args& a) { return in.ordered(v, a.positional[0], ">"); }
bool ge(Interpreter& in, const Value& v, Args& a) { return in.ordered(v, a.positional[0], ">="); }

constexpr TestRow kTests[] = {
    {"odd", [](Interpreter& in, const Value& v, Args&) { return odd(in, v); }, 0},
    {"even", [](Interpreter& in, const Value& v, Args&) { return divides(in, v, Value::of(int64_t{2})); }, 0},
    {"divisibleby", [](Interpreter& in, const Value& v, Args& a) { return divides(in, v, a.positional[0]); }, 1},
    {"defined", [](Interpreter&, const Value& v, Args&) { return !v.is_undefined(); }, 0},
    {"undefined", [](Interpreter&, const Value& v, Args&) { return v.is_undefined(); }, 0},
    {"filter", [](Interpreter&, const Value& v, Args&) { return v.is_string() && is_filter(v.text().view()); }, 0},
    {"test", [](Interpreter&, const Value& v, Args&) { return v.is_string() && is_test(v.text().view()); }, 0},
    {"none", [](Interpreter&, const Value& v, Args&) { return v.is_none(); }, 0},
    {"boolean", [](Interpreter&, const Value& v, Args&) { return v.kind == Kind::boolean; }, 0},
    {"false", [](Interpreter&, const Value& v, Args&) { return v.kind == Kind::boolean && !v.boolean; }, 0},
    {"true", [](Interpreter&, const Value& v, Args&) { return v.kind == Kind::boolean && v.boolean; }, 0},
    {"integer", [](Interpreter&, const Value& v, Args&) { return v.kind == Kind::integer; }, 0},
    {"float", [](Interpreter&, const Value& v, Args&) { return v.kind == Kind::real; }, 0},
    {"lower", [](Interpreter& in, const Value& v, Args&) { return is_case(in, v, "islower"); }, 0},
    {"upper", [](Interpreter& in, const Value& v, Args&) { return is_case(in, v, "isupper"); }, 0},
    {"string", [](Interpreter&, const Value& v, Args&) { return v.is_string(); }, 0},
    {"mapping", [](Interpreter&, const Value& v, Args&) { return v.kind == Kind::dict; }, 0},
    {"number", [](Interpreter&, const Value& v, Args&) { return v.is_number(); }, 0},
    {"sequence",
     [](Interpreter&, const Value& v, Args&) {
       return v.is_string() || v.is_sequence() || v.kind == Kind::dict || v.kind == Kind::range || v.is_undefined();
     },
     0},
    {"iterable", [](Interpreter& in, const Value& v, Args&) { return in.is_iterable(v) || v.kind == Kind::loop; }, 0},
    {"callable", [](Interpreter&, const Value& v, Args&) { return callable(v); }, 0},
    {"sameas", [](Interpreter&, const Value& v, Args& a) { return same(v, a.positional[0]); }, 1},
    {"escaped", [](Interpreter&, const Value& v, Args&) { return v.is_string() && v.str().markup; }, 0},
    {"in", [](Interpreter& in, const Value& v, Args& a) { return in.contains(a.positional[0], v); }, 1},
    {"==", eq, 1},
    {"eq", eq, 1},
    {"equalto", eq, 1},
    {"!=", ne, 1},
    {"ne", ne, 1},
    {">", gt, 1},
    {"gt", gt, 1},
    {"greaterthan", gt, 1},
    {">=", ge, 1},
    {"ge", ge, 1},
    {"<", lt, 1},
    {"lt", lt, 1},
    {"lessthan", lt, 1},
    {"<=", le, 1},
    {"le", le, 1},
};

const TestRow* find_test(std::string_view name) {
  const auto* row =
      std::find_if(std::begin(kTests), std::end(kTests), [&](const TestRow& r) { return r.name == name; });
  return row == std::end(kTests) ? nullptr : row;
}

}  // namespace

bool is_test(std::string_view name) { return find_test(name) != nullptr; }

bool apply_test(Interpreter& in, std::string_view name, const Value& subject, Args args) {
  in.step();
  const TestRow* row = find_test(name);
  if (row == nullptr) in.error("no test named '" + std::string(name) + "'");
  for (auto& [key, value] : args.named) args.positional.push_back(std::move(value));
  if (static_cast<int>(args.positional.size()) != row->arguments) {
    in.error("the test '" + std::string(name) + "' takes " + std::to_string(row->arguments) + " argument(s)");
  }
  return row->test(in, subject, args);
}

}  // namespace autoglm::jinja
