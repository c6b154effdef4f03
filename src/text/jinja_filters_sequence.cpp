// Filters on lists, dicts and anything that can be walked.
#include <algorithm>
#include <functional>
#include <set>

#include "text/jinja_filters.h"

namespace autoglm::jinja {
namespace {

/// Strings in lower case, for comparisons that ignore it.
Value ignore_case(Interpreter& in, const Value& value) {
  return value.is_string() ? in.string(map_case(value.text(), Case::lower)) : value;
}

/// The value that "a.b.0" or an index names within `item`.
Value attribute(Interpreter& in, Value item, const Value& path) {
  if (path.is_none()) return item;
  if (!path.is_string()) return in.get_item(item, path);
  std::string_view rest = path.text().view();
  while (true) {
    const size_t dot = rest.find('.');
    const std::string part(rest.substr(0, dot));
    const bool number = !part.empty() && part.size() < 18 && part.find_first_not_of("0123456789") == std::string::npos;
    item = in.get_item(item, number ? Value::of(static_cast<int64_t>(std::stoll(part))) : in.string(part, true));
    if (dot == std::string_view::npos) return item;
    rest.remove_prefix(dot + 1);
  }
}

using Getter = std::function<Value(const Value&)>;

Getter getter(Interpreter& in, const std::optional<Value>& path, bool case_sensitive, const Value* fallback = nullptr) {
  const Value where = path ? *path : Value::none();
  std::optional<Value> otherwise;
  if (fallback != nullptr && !fallback->is_none()) otherwise = *fallback;
  return [&in, where, case_sensitive, otherwise](const Value& item) {
    Value value = attribute(in, item, where);
    if (otherwise && value.is_undefined()) value = *otherwise;
    return case_sensitive ? value : ignore_case(in, value);
  };
}

struct Keyed {
  Value key;
  Value item;
};

/// Stable; `reverse` keeps the order of equals, as Python's sorted does.
void sort_keyed(Interpreter& in, std::vector<Keyed>& all, bool reverse) {
  in.step(static_cast<int64_t>(all.size()));
  const std::vector<size_t> order = stable_order(all.size(), [&](size_t a, size_t b) {
    return reverse ? in.compare(all[a].key, all[b].key) > 0 : in.compare(all[a].key, all[b].key) < 0;
  });
  std::vector<Keyed> sorted;
  sorted.reserve(all.size());
  for (const size_t i : order) sorted.push_back(std::move(all[i]));
  all.swap(sorted);
}

bool flag(const std::optional<Value>& value) { return value && truthy(*value); }

Value length(Interpreter& in, const Value& subject, Args& args) {
  in.bind("length", args, {});
  return Value::of(in.length(subject));
}

Value first(Interpreter& in, const Value& subject, Args& args) {
  in.bind("first", args, {});
  if (subject.is_sequence() && !subject.items().empty()) return subject.items().front();
  if (subject.kind == Kind::generator) {
    const auto& generator = subject.as<Generator>();
    if (generator.next < generator.items.size()) return generator.items[generator.next++];
  }
  std::vector<Value> items = in.iterate(subject);
  return items.empty() ? in.undefined("No first item, sequence was empty.") : items.front();
}

Value last(Interpreter& in, const Value& subject, Args& args) {
  in.bind("last", args, {});
  if (subject.kind == Kind::generator) in.error("'generator' object is not reversible");
  if (subject.is_sequence() && !subject.items().empty()) return subject.items().back();
  std::vector<Value> items = in.iterate(subject);
  return items.empty() ? in.undefined("No last item, sequence was empty.") : items.back();
}

Value list_filter(Interpreter& in, const Value& subject, Args& args) {
  in.bind("list", args, {});
  return in.list(in.iterate(subject));
}

Value default_filter(Interpreter& in, const Value& subject, Args& args) {
  auto bound = in.bind("default", args, {"default_value", "boolean"});
  if (!subject.is_undefined() && !(flag(bound[1]) && !truthy(subject))) return subject;
  return bound[0] ? *bound[0] : in.string("", true);
}

Value join(Interpreter& in, const Value& subject, Args& args) {
  auto bound = in.bind("join", args, {"d", "attribute"});
  const Text separator = bound[0] ? in.to_text(*bound[0]) : Text();
  Text out;
  bool start = true;
  for (const Value& item : in.iterate(subject)) {
    if (!start) out.append(separator);
    start = false;
    in.append_text(out, bound[1] && !bound[1]->is_none() ? attribute(in, item, *bound[1]) : item);
    in.step_bytes(separator.size());
    in.check_size(static_cast<int64_t>(out.size()));
  }
  return in.string(std::move(out));
}

Value items_filter(Interpreter& in, const Value& subject, Args& args) {
  in.bind("items", args, {});
  std::vector<Value> pairs;
  if (!subject.is_undefined()) {
    if (subject.kind != Kind::dict) in.error("can only get item pairs from a mapping");
    for (const auto& [key, value] : subject.dict().items) pairs.push_back(in.list({key, value}, Kind::tuple));
  }
  return in.generator("do_items", std::move(pairs));
}

Value dictsort(Interpreter& in, const Value& subject, Args& args) {
  auto bound = in.bind("dictsort", args, {"case_sensitive", "by", "reverse"});
  const std::string by = bound[1] ? in.to_text(*bound[1]).bytes() : "key";
  if (by != "key" && by != "value") in.error("you can only sort by either \"key\" or \"value\"");
  if (subject.is_undefined()) in.undefined_error(subject);
  if (subject.kind != Kind::dict) in.error("dictsort needs a mapping, not " + std::string(type_name(subject)));
  std::vector<Keyed> all;
  for (const auto& [key, value] : subject.dict().items) {
    const Value& sorted_by = by == "key" ? key : value;
    all.push_back({flag(bound[0]) ? sorted_by : ignore_case(in, sorted_by), in.list({key, value}, Kind::tuple)});
  }
  sort_keyed(in, all, flag(bound[2]));
  std::vector<Value> out;
  out.reserve(all.size());
  for (Keyed& keyed : all) out.push_back(std::move(keyed.item));
  return in.list(std::move(out));
}

Value sort(Interpreter& in, const Value& subject, Args& args) {
  auto bound = in.bind("sort", args, {"reverse", "case_sensitive", "attribute"});
  std::vector<Getter> getters;
  if (bound[2] && bound[2]->is_string()) {  // "a,b": by a, then by b
    std::string_view rest = bound[2]->text().view();
    while (true) {
      const size_t comma = rest.find(',');
      getters.push_back(getter(in, in.string(std::string(rest.substr(0, comma)), true), flag(bound[1])));
      if (comma == std::string_view::npos) break;
      rest.remove_prefix(comma + 1);
    }
  } else {
    getters.push_back(getter(in, bound[2], flag(bound[1])));
  }
  std::vector<Keyed> all;
  for (Value& item : in.iterate(subject)) {
    std::vector<Value> key;
    key.reserve(getters.size());
    for (const Getter& get : getters) key.push_back(get(item));
    all.push_back({in.list(std::move(key)), std::move(item)});
  }
  sort_keyed(in, all, flag(bound[0]));
  std::vector<Value> out;
  out.reserve(all.size());
  for (Keyed& keyed : all) out.push_back(std::move(keyed.item));
  return in.list(std::move(out));
}

Value unique(Interpreter& in, const Value& subject, Args& args) {
  auto bound = in.bind("unique", args, {"case_sensitive", "attribute"});
  const Getter get = getter(in, bound[1], flag(bound[0]));
  std::set<std::string> seen;
  std::vector<Value> out;
  for (Value& item : in.iterate(subject)) {
    const Value value = get(item);
    const auto key = key_of(value);
    if (!key) in.error("unhashable type: '" + std::string(type_name(value)) + "'");
    in.step_bytes(key->size());
    in.check_size(static_cast<int64_t>(key->size()));
    if (seen.insert(*key).second) out.push_back(std::move(item));
  }
  return in.generator("sync_do_unique", std::move(out));
}

Value min_or_max(Interpreter& in, const Value& subject, Args& args, bool max) {
  auto bound = in.bind(max ? "max" : "min", args, {"case_sensitive", "attribute"});
  const Getter get = getter(in, bound[1], flag(bound[0]));
  std::vector<Value> items = in.iterate(subject);
  if (items.empty()) return in.undefined("No aggregated item, sequence was empty.");
  size_t best = 0;
  Value best_key = get(items[0]);
  for (size_t i = 1; i < items.size(); ++i) {
    Value key = get(items[i]);
    if (!in.ordered(key, best_key, max ? ">" : "<")) continue;
    best = i;
    best_key = std::move(key);
  }
  return items[best];
}

Value min_filter(Interpreter& in, const Value& subject, Args& args) { return min_or_max(in, subject, args, false); }
Value max_filter(Interpreter& in, const Value& subject, Args& args) { return min_or_max(in, subject, args, true); }

Value sum(Interpreter& in, const Value& subject, Args& args) {
  auto bound = in.bind("sum", args, {"attribute", "start"});
  Value total = bound[1] ? *bound[1] : Value::of(int64_t{0});
  if (total.is_string()) in.error("sum() can't sum strings");
  for (const Value& item : in.iterate(subject)) {
    total = in.binary(ExprKind::add, total, bound[0] ? attribute(in, item, *bound[0]) : item);
  }
  return total;
}

Value reverse(Interpreter& in, const Value& subject, Args& args) {
  in.bind("reverse", args, {});
  if (subject.is_string()) return in.slice(subject, Value::none(), Value::none(), Value::of(int64_t{-1}));
  std::vector<Value> items = in.iterate(subject);
  std::reverse(items.begin(), items.end());
  if (subject.kind == Kind::generator) return in.list(std::move(items));
  return in.generator("reversed", std::move(items));
}

Value batch(Interpreter& in, const Value& subject, Args& args) {
  auto bound = in.bind("batch", args, {"linecount", "fill_with"}, 1);
  const int64_t count = int_argument(in, *bound[0], "linecount");
  std::vector<Value> out;
  std::vector<Value> row;
  for (Value& item : in.iterate(subject)) {
    if (static_cast<int64_t>(row.size()) == count) out.push_back(in.list(std::exchange(row, {})));
    row.push_back(std::move(item));
  }
  if (!row.empty()) {
    if (bound[1] && !bound[1]->is_none() && static_cast<int64_t>(row.size()) < count) {
      in.step(count);
      row.resize(static_cast<size_t>(count), *bound[1]);
    }
    out.push_back(in.list(std::move(row)));
  }
  return in.generator("sync_do_batch", std::move(out));
}

Value slice_filter(Interpreter& in, const Value& subject, Args& args) {
  auto bound = in.bind("slice", args, {"slices", "fill_with"}, 1);
  const int64_t slices = int_argument(in, *bound[0], "slices");
  std::vector<Value> items = in.iterate(subject);
  if (slices == 0) in.error("division by zero");
  std::vector<Value> out;
  const int64_t each = static_cast<int64_t>(items.size()) / std::max<int64_t>(slices, 1);
  const int64_t extra = static_cast<int64_t>(items.size()) % std::max<int64_t>(slices, 1);
  auto at = items.begin();
  for (int64_t i = 0; i < slices; ++i) {
    in.step();
    const auto end = at + each + (i < extra ? 1 : 0);
    std::vector<Value> row(at, end);
    at = end;
    if (bound[1] && !bound[1]->is_none() && i >= extra) row.push_back(*bound[1]);
    out.push_back(in.list(std::move(row)));
  }
  return in.generator("sync_do_slice", std::move(out));
}

Value groupby(Interpreter& in, const Value& subject, Args& args) {
  auto bound = in.bind("groupby", args, {"attribute", "default", "case_sensitive"}, 1);
  const Value* fallback = bound[1] ? &*bound[1] : nullptr;
  const Getter get = getter(in, bound[0], flag(bound[2]), fallback);
  const Getter exact = getter(in, bound[0], true, fallback);
  std::vector<Keyed> all;
  for (Value& item : in.iterate(subject)) {
    Value key = get(item);
    all.push_back({std::move(key), std::move(item)});
  }
  sort_keyed(in, all, false);
  std::vector<Value> out;
  for (size_t i = 0; i < all.size();) {
    std::vector<Value> members;
    size_t end = i;
    for (; end < all.size() && in.equal(all[end].key, all[i].key); ++end) members.push_back(all[end].item);
    if (end == i) members.push_back(all[end++].item);  // a key that is not equal to itself
    Value key = exact(members[0]);
    out.push_back(in.group(std::move(key), in.list(std::move(members))));
    i = end;
  }
  return in.list(std::move(out));
}

Value attr(Interpreter& in, const Value& subject, Args& args) {
  auto bound = in.bind("attr", args, {"name"}, 1);
  if (!bound[0]->is_string()) in.error("attr: the name must be str");
  return in.attribute(subject, *bound[0]);
}

Value map(Interpreter& in, const Value& subject, Args& args) {
  std::vector<Value> out;
  if (!truthy(subject)) return in.generator("sync_do_map", {});
  if (args.positional.empty()) {
    auto bound = in.bind("map", args, {"attribute", "default"}, 1);
    const Getter get = getter(in, bound[0], true, bound[1] ? &*bound[1] : nullptr);
    for (const Value& item : in.iterate(subject)) out.push_back(get(item));
    return in.generator("sync_do_map", std::move(out));
  }
  const Value name = args.positional[0];
  if (!name.is_string()) in.error("map: the filter's name must be str");
  args.positional.erase(args.positional.begin());
  for (const Value& item : in.iterate(subject)) out.push_back(apply_filter(in, name.text().view(), item, args));
  return in.generator("sync_do_map", std::move(out));
}

template <bool keep, bool by_attribute>
Value select(Interpreter& in, const Value& subject, Args& args) {
  static constexpr std::string_view kName = keep ? "select" : "reject";
  std::vector<Value> out;
  if (!truthy(subject)) return in.generator(kName, {});
  Value where = Value::none();
  if (by_attribute) {
    if (args.positional.empty()) in.error("missing parameter for attribute name");
    where = args.positional[0];
    args.positional.erase(args.positional.begin());
  }
  std::optional<Value> test;
  if (!args.positional.empty()) {
    test = args.positional[0];
    if (!test->is_string()) in.error("the test's name must be str");
    args.positional.erase(args.positional.begin());
  }
  for (Value& item : in.iterate(subject)) {
    const Value value = attribute(in, item, where);
    const bool passes = test ? apply_test(in, test->text().view(), value, args) : truthy(value);
    if (passes == keep) out.push_back(std::move(item));
  }
  return in.generator(kName, std::move(out));
}

constexpr FilterRow kRows[] = {
    {"attr", attr},
    {"batch", batch},
    {"count", length},
    {"d", default_filter},
    {"default", default_filter},
    {"dictsort", dictsort},
    {"first", first},
    {"groupby", groupby},
    {"items", items_filter},
    {"join", join},
    {"last", last},
    {"length", length},
    {"list", list_filter},
    {"map", map},
    {"max", max_filter},
    {"min", min_filter},
    {"reject", select<false, false>},
    {"rejectattr", select<false, true>},
    {"reverse", reverse},
    {"select", select<true, false>},
    {"selectattr", select<true, true>},
    {"slice", slice_filter},
    {"sort", sort},
    {"sum", sum},
    {"unique", unique},
};

}  // namespace

std::pair<const FilterRow*, size_t> sequence_filters() { return {kRows, std::size(kRows)}; }

}  // namespace autoglm::jinja
