#include "text/grammar/json_schema.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "base/error.h"
#include "text/grammar/automaton.h"
#include "text/grammar/json_formats.h"
#include "text/grammar/json_number.h"
#include "text/grammar/json_text.h"
#include "text/grammar/regex_grammar.h"
#include "text/grammar/schema_rules.h"

namespace autoglm {
namespace {

using Node = Grammar::Node;

constexpr size_t kMaxBytes = 1 << 20;   // of a schema
constexpr size_t kMaxSchemas = 20'000;  // different ones inside it, merged ones included
constexpr size_t kMaxWork = 32 << 20;   // bytes of all that were looked at
constexpr int kMaxDepth = 64;
constexpr size_t kMaxValues = 20'000;  // of an enum
constexpr int64_t kUnbounded = Grammar::kUnbounded;

class Converter {
 public:
  Converter(Grammar& grammar, const Json& root) : grammar_(grammar), rules_(root), json_(grammar) {}

  // Equal schemas are one rule, which is how recursion ends.
  Node schema(const Json& schema, const std::string& path, int depth = 0) {
    if (depth > kMaxDepth) bad_schema(path, "", fmt::format("nested more than {} deep", kMaxDepth));
    if (schema.is_object() && schema.size() == 1 && schema.contains("$ref")) {
      const Json& target = rules_.target(schema["$ref"], path);
      return rule_of(target, schema["$ref"].get<std::string>(), depth);
    }
    return rule_of(schema, path, depth);
  }

 private:
  Node rule_of(const Json& schema, const std::string& path, int depth) {
    const std::string key = schema.dump();
    work_ += key.size();
    if (known_.size() >= kMaxSchemas || work_ > kMaxWork) {
      fail(Code::limit_exceeded, "the JSON schema is too large once its references are followed");
    }
    const auto it = known_.find(key);
    if (it != known_.end()) return grammar_.call(it->second);
    const Grammar::Rule rule = grammar_.add_rule(path);
    known_.emplace(key, rule);
    grammar_.define(rule, flat(rules_.flatten(schema, path), path, depth + 1));
    return grammar_.call(rule);
  }

  // `schema` has no $ref and no allOf.
  Node flat(const Json& schema, const std::string& path, int depth) {
    for (const char* choice : {"anyOf", "oneOf"}) {
      if (schema.contains(choice)) return alternatives(schema, choice, path, depth);
    }
    if (schema.contains("enum")) return values(schema, path);
    const unsigned types = SchemaRules::types(schema, path);
    if (types == kAnyType && !constrained(schema)) return json_.value();
    std::vector<Node> ways;
    if ((types & kObject) != 0) ways.push_back(object(schema, path, depth));
    if ((types & kArray) != 0) ways.push_back(array(schema, path, depth));
    if ((types & kString) != 0) ways.push_back(string(schema, path));
    if ((types & kNumber) != 0) {
      ways.push_back(number(schema, path, false));
    } else if ((types & kInteger) != 0) {
      ways.push_back(number(schema, path, true));
    }
    if ((types & kBoolean) != 0) ways.push_back(json_.boolean());
    if ((types & kNull) != 0) ways.push_back(json_.null());
    return grammar_.choice(ways);
  }

  static bool constrained(const Json& schema) {
    return std::ranges::any_of(schema.items(),
                               [](const auto& item) { return item.key() != "type" && item.key() != "nullable"; });
  }

  // Each alternative together with what stands beside them.
  Node alternatives(const Json& schema, const std::string& keyword, const std::string& path, int depth) {
    const Json& list = schema[keyword];
    if (!list.is_array() || list.empty()) bad_schema(path, keyword, "not a list of schemas");
    Json beside = schema;
    beside.erase(keyword);
    std::vector<Json> all;
    for (size_t i = 0; i < list.size(); ++i) {
      const std::string place = fmt::format("{}/{}/{}", path, keyword, i);
      if (beside.empty()) {
        all.push_back(list[i]);
      } else {
        all.push_back(rules_.merge(beside, rules_.flatten(list[i], place), place));
      }
    }
    if (keyword == "oneOf") check_apart(all, path);
    std::vector<Node> ways;
    for (size_t i = 0; i < all.size(); ++i)
      ways.push_back(this->schema(all[i], fmt::format("{}/{}/{}", path, keyword, i), depth));
    return grammar_.choice(ways);
  }

  void check_apart(const std::vector<Json>& all, const std::string& path) const {
    if (all.size() > 200) bad_schema(path, "oneOf", "more than 200 alternatives; use anyOf");
    std::vector<Json> flattened;
    for (const Json& one : all) flattened.push_back(rules_.flatten(one, path));
    for (size_t i = 0; i < all.size(); ++i) {
      for (size_t j = 0; j < i; ++j) {
        if (rules_.disjoint(flattened[i], flattened[j], path)) continue;
        bad_schema(path, "oneOf",
                   fmt::format("alternatives {} and {} may both hold; make them differ (in type, or in a "
                               "required property's const), or use anyOf",
                               j, i));
      }
    }
  }

  Node values(const Json& schema, const std::string& path) {
    const Json& list = schema["enum"];
    if (!list.is_array()) bad_schema(path, "enum", "not a list");
    if (list.size() > kMaxValues) bad_schema(path, "enum", fmt::format("more than {} values", kMaxValues));
    const unsigned types = SchemaRules::types(schema, path);
    Json beside = schema;
    beside.erase("enum");
    beside.erase("type");
    beside.erase("nullable");
    std::shared_ptr<const Program> test;  // what else is asked of the values
    if (!beside.empty()) {
      beside["type"] = schema.contains("type")
                           ? schema["type"]
                           : Json::array({"null", "boolean", "number", "string", "array", "object"});
      test = compile_json_schema(beside);
    }
    std::vector<Node> ways;
    for (const Json& value : list) {
      if ((type_of(value) & types) == 0) continue;
      if (test != nullptr) {
        Automaton automaton(test);
        if (!automaton.accepts(automaton.next(automaton.start(), value.dump()))) continue;
      }
      ways.push_back(json_.literal(value));
    }
    return grammar_.choice(ways);
  }

  // A whole number from 0 on, or `missing`.
  static int64_t count(const Json& schema, const char* keyword, int64_t missing, const std::string& path) {
    const auto it = schema.find(keyword);
    if (it == schema.end()) return missing;
    const double value = it->is_number() ? it->get<double>() : -1;
    if (!(value >= 0 && value <= 1e15) || value != std::floor(value))
      bad_schema(path, keyword, fmt::format("{} is no count", it->dump()));
    return static_cast<int64_t>(value);
  }

  Node number(const Json& schema, const std::string& path, bool whole) {
    NumberBounds bounds;
    const auto take = [&](const char* keyword, std::optional<NumberBounds::Bound>& bound, bool strict, bool lower) {
      const auto it = schema.find(keyword);
      if (it == schema.end()) return;
      if (strict && it->is_boolean()) {  // draft 4
        if (bound && it->get<bool>()) bound->strict = true;
        return;
      }
      if (!it->is_number()) bad_schema(path, keyword, fmt::format("{} is no number", it->dump()));
      const double value = it->get<double>();
      const double old = bound ? bound->value.get<double>() : value;
      if (!bound || (lower ? value > old : value < old) || (value == old && strict)) bound = {*it, strict};
    };
    take("minimum", bounds.least, false, true);
    take("exclusiveMinimum", bounds.least, true, true);
    take("maximum", bounds.most, false, false);
    take("exclusiveMaximum", bounds.most, true, false);
    if (const auto step = schema.find("multipleOf"); step != schema.end()) {
      if (!whole || *step != Json(1)) bad_schema(path, "multipleOf", "not supported");
    }
    if (const auto format = schema.find("format"); format != schema.end()) number_format(*format, bounds, path);
    if (!bounds.any()) return whole ? any_integer(grammar_) : any_number(grammar_);
    return whole ? bounded_integer(grammar_, bounds) : bounded_number(grammar_, bounds);
  }

  // OpenAPI's names of machine types.
  static void number_format(const Json& format, NumberBounds& bounds, const std::string& path) {
    if (format == "int64" || format == "float" || format == "double") return;  // 15 digits fit
    if (format != "int32") bad_schema(path, "format", fmt::format("{} of a number is not supported", format.dump()));
    if (!bounds.least) bounds.least = {INT32_MIN, false};
    if (!bounds.most) bounds.most = {INT32_MAX, false};
  }

  Node string(const Json& schema, const std::string& path) {
    const int64_t min = count(schema, "minLength", 0, path);
    const int64_t max = count(schema, "maxLength", kUnbounded, path);
    const auto pattern = schema.find("pattern");
    const auto format = schema.find("format");
    if (pattern == schema.end() && format == schema.end()) {
      if (min == 0 && max == kUnbounded) return json_.string();
      return json_.quoted(grammar_.repeat(json_.any_char(), min, max));
    }
    if (pattern != schema.end() && format != schema.end())
      bad_schema(path, "pattern", "cannot be combined with format");
    const char* keyword = pattern != schema.end() ? "pattern" : "format";
    const RegexNode inside = pattern != schema.end() ? pattern_of(*pattern, path) : format_of(*format, path);
    const bool fits =
        inside.shortest >= min && (max == kUnbounded || (inside.longest != kUnbounded && inside.longest <= max));
    if (fits) return json_.quoted(inside.node);
    bad_schema(path, keyword,
               "cannot be combined with minLength or maxLength that it does not obey by itself; put the length "
               "into the pattern, as in ^[a-z]{1,20}$");
  }

  RegexNode regex(std::string_view text, std::string_view name, bool search) {
    RegexOptions options;
    options.search = search;
    options.chars = [this](const CodePointSet& set) { return json_.chars(set); };
    options.name = name;
    return read_regex(grammar_, text, options);
  }
  RegexNode pattern_of(const Json& pattern, const std::string& path) {
    if (!pattern.is_string()) bad_schema(path, "pattern", "not a string");
    return regex(pattern.get<std::string>(), fmt::format("json_schema at {}/pattern:", path), true);
  }
  RegexNode format_of(const Json& format, const std::string& path) {
    const std::string_view known = format.is_string() ? format_pattern(format.get<std::string>()) : std::string_view();
    if (known.empty()) {
      bad_schema(path, "format",
                 fmt::format("{} is not supported; known are {}", format.dump(), fmt::join(known_formats(), ", ")));
    }
    return regex(known, "format", false);
  }

  Node array(const Json& schema, const std::string& path, int depth) {
    if (schema.contains("uniqueItems") && schema["uniqueItems"] != Json(false))
      bad_schema(path, "uniqueItems", "not supported");
    const int64_t min = count(schema, "minItems", 0, path);
    int64_t max = count(schema, "maxItems", kUnbounded, path);
    Json prefix = schema.value("prefixItems", Json::array());
    Json rest = schema.value("items", Json());
    const char* keyword = "prefixItems";
    if (rest.is_array()) {  // drafts before 2020-12
      keyword = "items";
      prefix = rest;
      rest = schema.value("additionalItems", Json());
    }
    if (!prefix.is_array()) bad_schema(path, "prefixItems", "not a list of schemas");
    const auto fixed = static_cast<int64_t>(prefix.size());
    if (rest == Json(false) || (rest.is_null() && fixed > 0 && min <= fixed))
      max = max == kUnbounded ? fixed : std::min(max, fixed);
    const auto rest_item = [&] { return rest.is_null() ? json_.value() : this->schema(rest, path + "/items", depth); };
    if (max != kUnbounded && min > max) return grammar_.never();
    if (fixed == 0)
      return max == 0 ? json_.list('[', json_.null(), ']', min, 0) : json_.list('[', rest_item(), ']', min, max);
    // From the end: each place of the prefix, and what may follow it.
    Node tail = grammar_.empty();
    if (max == kUnbounded || max > fixed) {
      const int64_t most = max == kUnbounded ? max : max - fixed;
      tail = grammar_.repeat(grammar_.sequence({json_.comma(), rest_item()}), std::max<int64_t>(0, min - fixed), most);
    }
    for (int64_t i = fixed; i-- > 0;) {
      if (max != kUnbounded && i >= max) continue;
      const Node item = this->schema(prefix[static_cast<size_t>(i)], fmt::format("{}/{}/{}", path, keyword, i), depth);
      const Node here = i == 0 ? grammar_.sequence({item, tail}) : grammar_.sequence({json_.comma(), item, tail});
      const Grammar::Rule rule = grammar_.add_rule(path);
      grammar_.define(rule, i < min ? here : grammar_.optional(here));
      tail = grammar_.call(rule);
    }
    return grammar_.sequence({grammar_.text("["), json_.space(), tail, json_.space(), grammar_.text("]")});
  }

  struct Member {
    std::string name;
    Node node;
    bool required;
  };

  std::vector<Member> members(const Json& schema, const std::string& path, int depth) {
    std::vector<Member> all;
    const Json properties = schema.value("properties", Json::object());
    if (!properties.is_object()) bad_schema(path, "properties", "not an object of schemas");
    const Json required = schema.value("required", Json::array());
    if (!required.is_array()) bad_schema(path, "required", "not a list of names");
    const auto add = [&](const std::string& name, const Json& value, const std::string& place) {
      const bool must = requires_property(schema, name);
      if (!must && never(value)) return;
      all.push_back({name, json_.member(json_.literal(Json(name)), this->schema(value, place, depth)), must});
    };
    for (const auto& [name, value] : properties.items()) add(name, value, fmt::format("{}/properties/{}", path, name));
    for (const Json& name : required) {
      if (!name.is_string()) bad_schema(path, "required", fmt::format("{} is no name", name.dump()));
      if (properties.contains(name.get<std::string>())) continue;
      add(name.get<std::string>(), schema.value("additionalProperties", Json(true)), path + "/required");
    }
    return all;
  }

  static bool never(const Json& schema) { return schema == Json(false); }

  Node object(const Json& schema, const std::string& path, int depth) {
    if (schema.contains("unevaluatedProperties") && schema["unevaluatedProperties"] != Json(false)) {
      bad_schema(path, "unevaluatedProperties", "only false is supported");
    }
    const std::vector<Member> all = members(schema, path, depth);
    const bool more = writes_more_properties(schema) && !schema.contains("unevaluatedProperties");
    int64_t required = 0;
    for (const Member& member : all) required += member.required ? 1 : 0;
    const int64_t min = count(schema, "minProperties", 0, path);
    const int64_t max = count(schema, "maxProperties", kUnbounded, path);
    if (min > std::max<int64_t>(required, 1))
      bad_schema(path, "minProperties", "more than the required properties and 1 is not supported");
    const bool any_number = !more && (max == kUnbounded || max >= std::ssize(all));
    if (max != kUnbounded && !any_number && !(more && all.empty())) {
      bad_schema(path, "maxProperties", "supported where no property is declared, or where it allows them all");
    }
    if (!more) return braces(all, grammar_.never(), false, min > 0);
    const Json more_schema = schema.value("additionalProperties", Json(true));
    std::set<std::string> names;
    for (const Member& member : all) names.insert(member.name);
    const Node name = names.empty() ? json_.string() : json_.string_except(names);
    const Node extra = json_.member(name, this->schema(more_schema, path + "/additionalProperties", depth));
    if (all.empty()) return json_.list('{', extra, '}', min, max);
    return braces(all, extra, true, min > 0);
  }

  // The members in order, optional ones left out or not, commas between those that are there. Rules `after`: what may
  // come once something has; `first`: nothing has yet.
  Node braces(const std::vector<Member>& all, Node extra, bool more, bool some) {
    Grammar& g = grammar_;
    const Node further = g.repeat(g.sequence({json_.comma(), extra}), 0);
    Node after = more ? further : g.empty();
    Node first = more ? g.sequence({extra, further}) : g.never();
    if (!some) first = g.choice({g.empty(), first});
    for (size_t i = all.size(); i-- > 0;) {
      const Grammar::Rule after_rule = g.add_rule("members");
      const Grammar::Rule first_rule = g.add_rule("members");
      const Node begins = g.sequence({all[i].node, after});
      const Node follows = g.sequence({json_.comma(), all[i].node, after});
      g.define(first_rule, all[i].required ? begins : g.choice({begins, first}));
      g.define(after_rule, all[i].required ? follows : g.choice({follows, after}));
      first = g.call(first_rule);
      after = g.call(after_rule);
    }
    return g.sequence({g.text("{"), json_.space(), first, json_.space(), g.text("}")});
  }

  Grammar& grammar_;
  SchemaRules rules_;
  JsonText json_;
  std::map<std::string, Grammar::Rule> known_;  // by the schema's text
  size_t work_ = 0;
};

}  // namespace

namespace {

// Without recursion, which depth would be the end of.
void check_depth(const Json& schema) {
  std::vector<std::pair<const Json*, int>> todo = {{&schema, 0}};
  while (!todo.empty()) {
    const auto [at, depth] = todo.back();
    todo.pop_back();
    if (depth > 4 * kMaxDepth)
      fail(Code::limit_exceeded, fmt::format("a JSON schema nested more than {} deep", 4 * kMaxDepth));
    for (const Json& child : *at) {
      if (child.is_structured()) todo.emplace_back(&child, depth + 1);
    }
  }
}

}  // namespace

Grammar::Node read_json_schema(Grammar& grammar, const Json& schema) {
  check_depth(schema);
  if (schema.dump().size() > kMaxBytes) {
    fail(Code::limit_exceeded, fmt::format("a JSON schema of more than {} bytes", kMaxBytes));
  }
  return Converter(grammar, schema).schema(schema, "#");
}

std::shared_ptr<const Program> compile_json_schema(const Json& schema) {
  Grammar grammar;
  const Grammar::Node node = read_json_schema(grammar, schema);
  const Grammar::Rule root = grammar.add_rule("root");
  grammar.define(root, node);
  return std::make_shared<const Program>(grammar, root);
}

std::shared_ptr<const Program> compile_json_object() { return compile_json_schema(Json::object({{"type", "object"}})); }

}  // namespace autoglm
