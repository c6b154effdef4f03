#include "text/grammar/schema_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"

namespace autoglm {
namespace {

constexpr int kMaxDepth = 32;  // of references that lead to references

constexpr std::array<std::string_view, 31> kKeywords = {"type",
                                                        "enum",
                                                        "const",
                                                        "properties",
                                                        "required",
                                                        "additionalProperties",
                                                        "items",
                                                        "prefixItems",
                                                        "additionalItems",
                                                        "minItems",
                                                        "maxItems",
                                                        "uniqueItems",
                                                        "minLength",
                                                        "maxLength",
                                                        "pattern",
                                                        "format",
                                                        "minimum",
                                                        "maximum",
                                                        "exclusiveMinimum",
                                                        "exclusiveMaximum",
                                                        "multipleOf",
                                                        "minProperties",
                                                        "maxProperties",
                                                        "anyOf",
                                                        "oneOf",
                                                        "allOf",
                                                        "$ref",
                                                        "$defs",
                                                        "definitions",
                                                        "nullable",
                                                        "unevaluatedProperties"};

// Say something to people or programs, nothing about values.
constexpr std::array<std::string_view, 14> kAnnotations = {
    "title", "description", "default",  "examples",  "example",          "$comment",        "$schema",
    "$id",   "deprecated",  "readOnly", "writeOnly", "contentMediaType", "contentEncoding", "$anchor"};

template <size_t N>
bool among(const std::array<std::string_view, N>& list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

unsigned type_named(const Json& name, const std::string& path) {
  constexpr std::array<std::pair<std::string_view, unsigned>, 7> kNames = {{{"null", kNull},
                                                                            {"boolean", kBoolean},
                                                                            {"integer", kInteger},
                                                                            {"number", kNumber | kInteger},
                                                                            {"string", kString},
                                                                            {"array", kArray},
                                                                            {"object", kObject}}};
  if (name.is_string()) {
    for (const auto& [word, bits] : kNames) {
      if (word == name.get<std::string>()) return bits;
    }
  }
  bad_schema(path, "type", fmt::format("{} is no type", name.dump()));
}

Json both(const Json& a, const Json& b) { return Json::object({{"allOf", Json::array({a, b})}}); }

bool less(const Json& a, const Json& b) { return a.is_number() && b.is_number() && a.get<double>() < b.get<double>(); }

}  // namespace

void bad_schema(const std::string& path, std::string_view keyword, const std::string& what) {
  fail(Code::bad_request, fmt::format("json_schema at {}/{}: {}", path, keyword, what),
       "docs/SERVING.md lists what is supported");
}

unsigned type_of(const Json& value) {
  if (value.is_null()) return kNull;
  if (value.is_boolean()) return kBoolean;
  if (value.is_number_integer()) return kInteger | kNumber;
  if (value.is_number()) {
    const double number = value.get<double>();
    return std::isfinite(number) && number == std::floor(number) ? kInteger | kNumber : unsigned{kNumber};
  }
  if (value.is_string()) return kString;
  return value.is_array() ? kArray : kObject;
}

bool requires_property(const Json& schema, const std::string& name) {
  const auto it = schema.find("required");
  return it != schema.end() && it->is_array() && std::find(it->begin(), it->end(), Json(name)) != it->end();
}

bool writes_more_properties(const Json& schema) {
  const auto more = schema.find("additionalProperties");
  if (more != schema.end()) return *more != Json(false);
  return !schema.contains("properties") && !schema.contains("required");
}

void SchemaRules::check_keywords(const Json& schema, const std::string& path) {
  for (const auto& [key, value] : schema.items()) {
    if (among(kKeywords, key) || among(kAnnotations, key) || key.starts_with("x-")) continue;
    const std::string close = nearest(key, kKeywords.data(), kKeywords.size());
    bad_schema(path, key,
               close.empty() ? "this keyword is not supported"
                             : fmt::format("this keyword is not supported (\"{}\" is)", close));
  }
}

const Json& SchemaRules::target(const Json& reference, const std::string& path) const {
  if (!reference.is_string()) bad_schema(path, "$ref", "not a string");
  const auto text = reference.get<std::string>();
  if (text == "#") return *root_;
  if (!text.starts_with("#/"))
    bad_schema(path, "$ref", fmt::format("\"{}\" does not point into this schema (\"#/...\")", text));
  const Json* at = root_;
  for (size_t begin = 2; begin <= text.size();) {
    const size_t end = std::min(text.find('/', begin), text.size());
    std::string part;
    for (size_t i = begin; i < end; ++i) {
      if (text[i] == '~' && i + 1 < end && (text[i + 1] == '0' || text[i + 1] == '1')) {
        part += text[++i] == '0' ? '~' : '/';
      } else {
        part += text[i];
      }
    }
    const Json* next = nullptr;
    if (at->is_object() && at->contains(part)) {
      next = &at->at(part);
    } else if (at->is_array() && !part.empty() && part.size() < 6 &&
               part.find_first_not_of("0123456789") == std::string::npos && std::stoul(part) < at->size()) {
      next = &at->at(std::stoul(part));
    }
    if (next == nullptr) bad_schema(path, "$ref", fmt::format("nothing is at \"{}\"", text));
    at = next;
    begin = end + 1;
  }
  return *at;
}

Json SchemaRules::flatten(const Json& schema, const std::string& path, int depth) const {
  if (depth > kMaxDepth) bad_schema(path, "$ref", "references lead to themselves, or on for too long");
  if (schema.is_boolean()) return schema.get<bool>() ? Json::object() : Json::object({{"enum", Json::array()}});
  if (!schema.is_object()) fail(Code::bad_request, fmt::format("json_schema at {}: a schema must be an object", path));
  check_keywords(schema, path);
  Json result = Json::object();
  for (const auto& [key, value] : schema.items()) {
    if (key != "$ref" && key != "allOf" && !among(kAnnotations, key) && key != "$defs" && key != "definitions" &&
        !key.starts_with("x-")) {
      result[key] = value;
    }
  }
  if (result.contains("const")) {
    const Json values = Json::array({result["const"]});
    result.erase("const");
    result = merge(result, Json::object({{"enum", values}}), path);
  }
  if (const auto ref = schema.find("$ref"); ref != schema.end()) {
    result = merge(flatten(target(*ref, path), ref->get<std::string>(), depth + 1), result, path);
  }
  if (const auto all = schema.find("allOf"); all != schema.end()) {
    if (!all->is_array() || all->empty()) bad_schema(path, "allOf", "not a list of schemas");
    for (size_t i = 0; i < all->size(); ++i) {
      result = merge(result, flatten(all->at(i), fmt::format("{}/allOf/{}", path, i), depth + 1), path);
    }
  }
  return result;
}

namespace {

// What both say about an object's members.
void merge_objects(Json& result, const Json& a, const Json& b) {
  const auto more_of = [](const Json& schema) {
    const auto it = schema.find("additionalProperties");
    return it == schema.end() ? Json() : *it;
  };
  const Json more_a = more_of(a);
  const Json more_b = more_of(b);
  Json properties = Json::object();
  const auto take = [&](const Json& from, const Json& other, const Json& others_more, bool first) {
    if (!from.contains("properties")) return;
    for (const auto& [name, schema] : from["properties"].items()) {
      const bool shared = other.contains("properties") && other["properties"].contains(name);
      if (shared && !first) continue;
      if (shared) {
        const Json& twin = other["properties"][name];
        properties[name] = schema == twin ? schema : both(schema, twin);
      } else {
        properties[name] = others_more.is_null() || others_more == Json(true) ? schema
                           : others_more == Json(false)                       ? Json(false)
                                                                              : both(schema, others_more);
      }
    }
  };
  take(a, b, more_b, true);
  take(b, a, more_a, false);
  if (a.contains("properties") || b.contains("properties")) result["properties"] = properties;
  if (!more_a.is_null() && !more_b.is_null()) {
    const bool none = more_a == Json(false) || more_b == Json(false);
    result["additionalProperties"] = none ? Json(false) : more_a == more_b ? more_a : both(more_a, more_b);
  }
}

void merge_arrays(Json& result, const Json& a, const Json& b, const std::string& path) {
  const bool lists = a.contains("prefixItems") || b.contains("prefixItems") ||
                     (a.contains("items") && a["items"].is_array()) || (b.contains("items") && b["items"].is_array());
  if (lists && a.value("prefixItems", Json()) == b.value("prefixItems", Json()) &&
      a.value("items", Json()) == b.value("items", Json()))
    return;
  if (lists && (a.contains("items") || a.contains("prefixItems")) &&
      (b.contains("items") || b.contains("prefixItems"))) {
    bad_schema(path, "prefixItems", "lists of items cannot be combined");
  }
  if (a.contains("items") && b.contains("items") && a["items"] != b["items"])
    result["items"] = both(a["items"], b["items"]);
}

}  // namespace

Json SchemaRules::merge(const Json& a, const Json& b, const std::string& path) const {
  Json result = a;
  for (const auto& [key, value] : b.items()) {
    if (!result.contains(key)) {
      result[key] = value;
      continue;
    }
    Json& mine = result[key];
    if (mine == value || key == "properties" || key == "additionalProperties" || key == "items" ||
        key == "prefixItems") {
      continue;
    }
    if (key == "minimum" || key == "exclusiveMinimum" || key == "minLength" || key == "minItems" ||
        key == "minProperties") {
      if (less(mine, value) || !mine.is_number()) mine = value;
    } else if (key == "maximum" || key == "exclusiveMaximum" || key == "maxLength" || key == "maxItems" ||
               key == "maxProperties") {
      if (less(value, mine) || !mine.is_number()) mine = value;
    } else if (key == "required" && mine.is_array() && value.is_array()) {
      for (const Json& name : value) {
        if (std::find(mine.begin(), mine.end(), name) == mine.end()) mine.push_back(name);
      }
    } else if (key == "enum" && mine.is_array() && value.is_array()) {
      Json shared = Json::array();
      for (const Json& one : mine) {
        if (std::find(value.begin(), value.end(), one) != value.end()) shared.push_back(one);
      }
      mine = shared;
    } else if (key == "type") {
      const unsigned bits = types(Json::object({{"type", mine}}), path) & types(Json::object({{"type", value}}), path);
      Json names = Json::array();
      for (const auto& [bit, name] : {std::pair<unsigned, const char*>{kNull, "null"},
                                      {kBoolean, "boolean"},
                                      {kString, "string"},
                                      {kArray, "array"},
                                      {kObject, "object"}}) {
        if ((bits & bit) != 0) names.push_back(name);
      }
      if ((bits & kNumber) != 0) {
        names.push_back("number");
      } else if ((bits & kInteger) != 0) {
        names.push_back("integer");
      }
      mine = names;
    } else {
      bad_schema(path, key, "several of these in one place (allOf, $ref) cannot be combined");
    }
  }
  merge_objects(result, a, b);
  merge_arrays(result, a, b, path);
  return result;
}

unsigned SchemaRules::types(const Json& schema, const std::string& path) {
  unsigned bits = 0;
  const auto type = schema.find("type");
  if (type != schema.end() && type->is_array()) {
    for (const Json& one : *type) bits |= type_named(one, path);
    if (type->empty()) return 0;
  } else if (type != schema.end()) {
    bits = type_named(*type, path);
  } else if (schema.contains("enum") && schema["enum"].is_array()) {
    for (const Json& value : schema["enum"]) bits |= type_of(value);
    return bits;
  } else {
    constexpr std::array<std::pair<std::string_view, unsigned>, 20> kShown = {{{"properties", kObject},
                                                                               {"required", kObject},
                                                                               {"additionalProperties", kObject},
                                                                               {"minProperties", kObject},
                                                                               {"maxProperties", kObject},
                                                                               {"items", kArray},
                                                                               {"prefixItems", kArray},
                                                                               {"additionalItems", kArray},
                                                                               {"minItems", kArray},
                                                                               {"maxItems", kArray},
                                                                               {"uniqueItems", kArray},
                                                                               {"minLength", kString},
                                                                               {"maxLength", kString},
                                                                               {"pattern", kString},
                                                                               {"format", kString},
                                                                               {"minimum", kNumber | kInteger},
                                                                               {"maximum", kNumber | kInteger},
                                                                               {"exclusiveMinimum", kNumber | kInteger},
                                                                               {"exclusiveMaximum", kNumber | kInteger},
                                                                               {"multipleOf", kNumber | kInteger}}};
    for (const auto& [key, shown] : kShown) bits |= schema.contains(key) ? shown : 0U;
    if (bits == 0) return kAnyType;
  }
  if (schema.value("nullable", Json()) == Json(true)) bits |= kNull;
  return bits;
}

// Whether every text that we write for `a` is invalid for `b`.
bool SchemaRules::excludes(const Json& a, const Json& b, const std::string& path, int depth) const {
  const auto member = [](const Json& schema, const std::string& name) -> const Json* {
    const auto all = schema.find("properties");
    if (all == schema.end() || !all->is_object()) return nullptr;
    const auto it = all->find(name);
    return it == all->end() ? nullptr : &*it;
  };
  const Json required_a = a.value("required", Json::array());
  for (const Json& name : required_a) {
    if (!name.is_string()) continue;
    const Json* mine = member(a, name);
    const Json* theirs = member(b, name);
    if (theirs == nullptr && b.value("additionalProperties", Json()) == Json(false)) return true;
    if (mine == nullptr || theirs == nullptr || depth > 8) continue;
    if (disjoint(flatten(*mine, path), flatten(*theirs, path), path, depth + 1)) return true;
  }
  const Json required_b = b.value("required", Json::array());
  return std::ranges::any_of(required_b, [&](const Json& name) {
    return name.is_string() && member(a, name) == nullptr && !requires_property(a, name) && !writes_more_properties(a);
  });
}

bool SchemaRules::disjoint(const Json& a, const Json& b, const std::string& path, int depth) const {
  if (a.contains("anyOf") || a.contains("oneOf") || b.contains("anyOf") || b.contains("oneOf")) return false;
  // Without a type any value is valid that the other keywords say nothing about, even if we write none.
  const auto valid = [&](const Json& schema) -> unsigned {
    return schema.contains("type") || schema.contains("enum") ? types(schema, path) : unsigned{kAnyType};
  };
  const unsigned shared = (types(a, path) & valid(b)) | (types(b, path) & valid(a));
  if (shared == 0) return true;
  if (a.contains("enum") && b.contains("enum")) {
    return std::ranges::none_of(a["enum"], [&](const Json& value) {
      return std::find(b["enum"].begin(), b["enum"].end(), value) != b["enum"].end();
    });
  }
  const auto apart = [&](const char* least, const char* most, const Json& low, const Json& high) {
    return low.contains(least) && high.contains(most) && less(high[most], low[least]);
  };
  if ((shared & ~unsigned{kNumber | kInteger}) == 0) {
    return apart("minimum", "maximum", a, b) || apart("minimum", "maximum", b, a);
  }
  if (shared == kString) return apart("minLength", "maxLength", a, b) || apart("minLength", "maxLength", b, a);
  if (shared == kArray) return apart("minItems", "maxItems", a, b) || apart("minItems", "maxItems", b, a);
  return shared == kObject && excludes(a, b, path, depth) && excludes(b, a, path, depth);
}

}  // namespace autoglm
