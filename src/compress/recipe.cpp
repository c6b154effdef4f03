#include "compress/recipe.h"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cctype>
#include <iterator>
#include <optional>

#include "base/error.h"

namespace autoglm {
namespace {

constexpr size_t kMaxBytes = 4 << 20;
constexpr size_t kMaxTensors = 100'000;

constexpr Type kTargets[] = {Type::q2_k, Type::q3_k, Type::iq4_xs, Type::q4_0, Type::iq4_nl, Type::q4_k,
                             Type::q4_1, Type::q5_0, Type::q5_k,   Type::q5_1, Type::q6_k,   Type::q8_0,
                             Type::q8_a, Type::f16,  Type::bf16,   Type::f32};

/// INT8 by channel: one scale along each row.
constexpr std::pair<std::string_view, Type> kInt8[] = {{"INT8", Type::q8_0}, {"INT8_ASYM", Type::q8_a}};

[[noreturn]] void refuse(const YAML::Node& node, const std::string& what) {
  fail(Code::bad_config, fmt::format("recipe, line {}: {}", node.Mark().line + 1, what),
       "version: 1, default: TYPE, scales: row, tensors: {NAME: TYPE, ...}");
}

Type read_type(const YAML::Node& node) {
  if (!node.IsScalar()) refuse(node, "a type is a word such as Q4_0");
  const std::optional<Type> type = type_from_name(node.Scalar());
  if (type && is_target(*type)) return *type;
  refuse(node, fmt::format("`{}` is no type of weights: {}", node.Scalar().substr(0, 40), type_names()));
}

void read_key(Recipe& recipe, const YAML::Node& key, const YAML::Node& value) {
  if (!key.IsScalar()) refuse(key, "keys are words");
  if (key.Scalar() == "version") {
    if (!value.IsScalar() || value.Scalar() != "1") refuse(value, "this version of recipes is not known");
  } else if (key.Scalar() == "default") {
    recipe.matrix = read_type(value);
  } else if (key.Scalar() == "scales") {
    if (!value.IsScalar() || value.Scalar() != "row") refuse(value, "`scales` is `row` or left out");
    recipe.row_scales = true;
  } else if (key.Scalar() == "scaling") {
    recipe.scaling = value.IsScalar() ? scaling_from_name(value.Scalar()) : std::nullopt;
    if (!recipe.scaling) refuse(value, "`scaling` is awq, none or left out");
  } else if (key.Scalar() == "tensors") {
    if (!value.IsMap()) refuse(value, "`tensors` maps names to types");
    if (value.size() > kMaxTensors) refuse(value, "too many tensors");
    for (const auto& item : value) {
      if (!item.first.IsScalar()) refuse(item.first, "names of tensors are words");
      recipe.tensors.emplace_back(item.first.Scalar(), read_type(item.second));
    }
  } else {
    refuse(key, fmt::format("unknown key `{}`", key.Scalar().substr(0, 40)));
  }
}

}  // namespace

bool is_target(Type type) { return std::ranges::find(kTargets, type) != std::end(kTargets); }

std::string type_names() {
  std::string out;
  for (const Type type : kTargets) out += fmt::format("{}{}", out.empty() ? "" : ", ", info(type).name);
  return out;
}

bool matches(std::string_view pattern, std::string_view name) {
  // The last star and where its text ends so far: on a mismatch it takes one byte more.
  size_t at = 0;
  size_t in = 0;
  size_t star = std::string_view::npos;
  size_t star_in = 0;
  while (in < name.size()) {
    if (at < pattern.size() && pattern[at] == '*') {
      star = at++;
      star_in = in;
    } else if (at < pattern.size() && pattern[at] == name[in]) {
      ++at;
      ++in;
    } else if (star != std::string_view::npos) {
      at = star + 1;
      in = ++star_in;
    } else {
      return false;
    }
  }
  while (at < pattern.size() && pattern[at] == '*') ++at;
  return at == pattern.size();
}

Type Recipe::type_of(std::string_view name) const {
  for (const auto& [pattern, type] : tensors) {
    if (matches(pattern, name)) return type;
  }
  return matrix;
}

bool Recipe::row_scaled(std::string_view name) const {
  return row_scales && std::ranges::none_of(tensors, [&](const auto& line) { return matches(line.first, name); });
}

std::string Recipe::yaml() const {
  std::string out = fmt::format("version: 1\ndefault: {}\n", info(matrix).name);
  if (row_scales) out += "scales: row\n";
  if (scaling) out += fmt::format("scaling: {}\n", name(*scaling));
  if (tensors.empty()) return out;
  out += "tensors:\n";
  // Quoted: a name that begins with a star would be an alias.
  for (const auto& [pattern, type] : tensors) out += fmt::format("  \"{}\": {}\n", pattern, info(type).name);
  return out;
}

Recipe parse_recipe(std::string_view yaml) {
  if (yaml.size() > kMaxBytes) fail(Code::bad_config, "the recipe is too large", "a line a tensor is enough");
  YAML::Node root;
  try {
    root = YAML::Load(std::string(yaml));
  } catch (const YAML::Exception& error) {
    fail(Code::bad_config, fmt::format("the recipe is no YAML: {}", error.what()), "see docs/OPTIMIZE.md");
  }
  if (!root.IsMap()) refuse(root, "a recipe is a map");
  Recipe recipe;
  for (const auto& item : root) read_key(recipe, item.first, item.second);
  if (!root["default"]) refuse(root, "`default` is missing");
  return recipe;
}

Recipe uniform_recipe(Type type) {
  Recipe recipe{.matrix = type, .tensors = {}};
  const TypeInfo& row = info(type);
  if (row.quantized && 8.0 * row.block_bytes / row.block_columns < 6.5) {
    recipe.tensors = {{"token_embd.weight", Type::q6_k}, {"output.weight", Type::q6_k}};
  }
  return recipe;
}

Recipe recipe_of_name(const std::string& name) {
  std::string upper = name;
  std::ranges::transform(upper, upper.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  for (const auto& [int8, type] : kInt8) {
    if (upper != int8) continue;
    return {.matrix = type, .row_scales = true, .tensors = {{"token_embd.weight", type}, {"output.weight", type}}};
  }
  const std::optional<Type> type = type_from_name(name);
  if (!type || !is_target(*type)) {
    fail(Code::bad_flag, fmt::format("--type: '{}' is no type of weights", name),
         "one of " + type_names() + ", INT8, INT8_ASYM");
  }
  return uniform_recipe(*type);
}

Type type_for_columns(Type type, int64_t columns) {
  while (columns % info(type).block_columns != 0) {
    switch (type) {
      case Type::q2_k:
      case Type::q3_k:
      case Type::iq4_xs:
      case Type::q4_k:
        type = Type::iq4_nl;
        break;
      case Type::q5_k:
        type = Type::q5_0;
        break;
      case Type::q6_k:
        type = Type::q8_0;
        break;
      default:
        return Type::f16;
    }
  }
  return type;
}

int64_t gguf_file_type(Type type) {
  switch (type) {
    case Type::f32:
      return 0;
    case Type::f16:
      return 1;
    case Type::q4_0:
      return 2;
    case Type::q4_1:
      return 3;
    case Type::q8_0:
      return 7;
    case Type::q5_0:
      return 8;
    case Type::q5_1:
      return 9;
    case Type::q2_k:
      return 10;
    case Type::q3_k:
      return 11;
    case Type::q4_k:
      return 14;
    case Type::q5_k:
      return 16;
    case Type::q6_k:
      return 18;
    case Type::iq4_nl:
      return 25;
    case Type::iq4_xs:
      return 30;
    case Type::q8_a:
      return info(type).ggml_id;  // llama.cpp has no number for it
    default:
      return 32;
  }
}

}  // namespace autoglm
