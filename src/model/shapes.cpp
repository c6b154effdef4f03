// Reading bench/shapes.yaml.
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cctype>

#include "base/error.h"
#include "model/random_weights.h"
#include "model/tensor_table.h"

namespace autoglm {

/// bench/shapes.yaml, put into the program when it is built.
extern const char* const kBuiltInShapes;

namespace {

[[noreturn]] void bad(const std::string& what) { fail(Code::bad_config, "the table of shapes is wrong: " + what); }

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

// YAML to JSON. Plain scalars that JSON would read as a number or a word stay so.
std::string json(const YAML::Node& node) {
  std::string out;
  if (node.IsMap()) {
    for (const auto& entry : node)
      out += (out.empty() ? "" : ",") + quoted(entry.first.as<std::string>()) + ":" + json(entry.second);
    return "{" + out + "}";
  }
  if (node.IsSequence()) {
    for (const auto& entry : node) out += (out.empty() ? "" : ",") + json(entry);
    return "[" + out + "]";
  }
  const std::string text = node.as<std::string>();
  const bool number = !text.empty() && (std::isdigit(static_cast<unsigned char>(text[0])) || text[0] == '-');
  return number || text == "true" || text == "false" || text == "null" ? text : quoted(text);
}

Type type_named(const std::string& name) {
  const auto type = type_from_name(name);
  if (!type) bad("no type '" + name + "'");
  return *type;
}

// "expert_down" as the recipes write it: the role's word in the tensor table with its spaces and apostrophes changed.
Role role_named(const std::string& name) {
  static const std::pair<std::string_view, Role> kNames[] = {{"embedding", Role::token_embedding},
                                                             {"output", Role::output},
                                                             {"q", Role::q},
                                                             {"k", Role::k},
                                                             {"v", Role::v},
                                                             {"attention_output", Role::attention_output},
                                                             {"gate", Role::gate},
                                                             {"up", Role::up},
                                                             {"down", Role::down},
                                                             {"expert_gate", Role::expert_gate},
                                                             {"expert_up", Role::expert_up},
                                                             {"expert_down", Role::expert_down},
                                                             {"shared_gate", Role::shared_gate},
                                                             {"shared_up", Role::shared_up},
                                                             {"shared_down", Role::shared_down},
                                                             {"k_b", Role::k_b},
                                                             {"v_b", Role::v_b}};
  for (const auto& [word, role] : kNames) {
    if (word == name) return role;
  }
  bad("no role '" + name + "'");
}

template <typename List, typename Name>
[[noreturn]] void fail_unknown(const char* what, std::string_view word, const List& list, Name name) {
  std::vector<std::string_view> known;
  for (const auto& entry : list) known.push_back(name(entry));
  std::string hint;
  for (std::string_view entry : known) hint += (hint.empty() ? "there are: " : ", ") + std::string(entry);
  const std::string near = nearest(word, known.data(), known.size());
  if (!near.empty()) hint = "did you mean '" + near + "'? " + hint;
  fail(Code::bad_flag, "there is no " + std::string(what) + " '" + std::string(word) + "'", hint);
}

bool same_word(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

}  // namespace

ShapeTable::ShapeTable(std::string_view text) {
  try {
    const YAML::Node yaml = YAML::Load(std::string(text));
    for (const auto& entry : yaml["shapes"]) {
      shapes_.push_back({entry.first.as<std::string>(), json(entry.second["config"])});
    }
    std::map<Type, Type> fallbacks;
    for (const auto& entry : yaml["fallbacks"]) {
      fallbacks[type_named(entry.first.as<std::string>())] = type_named(entry.second.as<std::string>());
    }
    for (const auto& entry : yaml["recipes"]) {
      TypeRecipe recipe;
      recipe.fallbacks = fallbacks;
      recipe.matrix = recipe.tied = type_named(entry.second["matrix"].as<std::string>());
      for (const auto& part : entry.second["better"]) {
        recipe.better[role_named(part.first.as<std::string>())] = type_named(part.second.as<std::string>());
      }
      for (const auto& part : entry.second) {
        const auto word = part.first.as<std::string>();
        if (word == "better") continue;
        const Type type = type_named(part.second.as<std::string>());
        if (word == "tied") {
          recipe.tied = type;
        } else if (word != "matrix") {
          recipe.roles[role_named(word)] = type;
        }
      }
      recipes_.emplace_back(entry.first.as<std::string>(), std::move(recipe));
    }
  } catch (const YAML::Exception& error) {
    bad(error.what());
  }
}

ShapeTable ShapeTable::built_in() { return ShapeTable(kBuiltInShapes); }

ModelShape ShapeTable::shape(std::string_view name) const {
  for (const ModelShape& shape : shapes_) {
    if (same_word(shape.name, name)) return shape;
  }
  fail_unknown("shape", name, shapes_, [](const ModelShape& shape) -> std::string_view { return shape.name; });
}

TypeRecipe ShapeTable::recipe(std::string_view name) const {
  for (const auto& [word, recipe] : recipes_) {
    if (same_word(word, name)) return recipe;
  }
  fail_unknown("recipe", name, recipes_, [](const auto& entry) -> std::string_view { return entry.first; });
}

std::vector<std::string> ShapeTable::recipe_names() const {
  std::vector<std::string> names;
  for (const auto& entry : recipes_) names.push_back(entry.first);
  return names;
}

}  // namespace autoglm
