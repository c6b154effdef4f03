#include "compress/cost_file.h"

#include <cmath>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <span>
#include <system_error>

#include "base/error.h"
#include "base/output_file.h"

namespace autoglm {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr uintmax_t kMaxBytes = 64 << 20;

[[noreturn]] void refuse(const std::string& where) {
  fail(Code::bad_file, where + ": holds no measured costs", "name a file that `quantize --costs` wrote, or a new one");
}

double cost_of(const Json& value, const std::string& where) {
  if (!value.is_number()) refuse(where);
  const auto cost = value.get<double>();
  if (!std::isfinite(cost) || cost < 0) refuse(where);
  return cost;
}

int64_t count_of(const Json& object, const char* key, const std::string& where) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_integer()) refuse(where);
  const auto count = found->get<int64_t>();
  if (count <= 0) refuse(where);
  return count;
}

const std::string& text_of(const Json& object, const char* key, const std::string& where) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) refuse(where);
  return found->get_ref<const std::string&>();
}

const Json& array_of(const Json& object, const char* key, const std::string& where) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_array()) refuse(where);
  return *found;
}

TensorCost tensor_of(const Json& object, const std::string& where) {
  if (!object.is_object()) refuse(where);
  TensorCost out{.name = text_of(object, "name", where), .values = count_of(object, "values", where), .types = {}};
  for (const Json& entry : array_of(object, "types", where)) {
    if (!entry.is_object() || !entry.contains("divergence")) refuse(where);
    const auto type = type_from_name(text_of(entry, "type", where));
    if (!type || !is_target(*type)) refuse(where);
    out.types.push_back(
        {.type = *type, .bytes = count_of(entry, "bytes", where), .divergence = cost_of(entry["divergence"], where)});
  }
  if (out.types.empty() || out.types.size() > 64) refuse(where);
  return out;
}

}  // namespace

CostFile parse_costs(std::string_view text, const std::string& where) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) refuse(where);
  CostFile out{.key = text_of(json, "measured", where), .divergences = {}, .tensors = {}};
  const auto divergences = json.find("divergences");
  if (divergences == json.end() || !divergences->is_object()) refuse(where);
  for (const auto& [name, value] : divergences->items()) out.divergences[name] = cost_of(value, where);
  for (const Json& tensor : array_of(json, "tensors", where)) out.tensors.push_back(tensor_of(tensor, where));
  return out;
}

std::string costs_text(const CostFile& costs) {
  Json tensors = Json::array();
  for (const TensorCost& tensor : costs.tensors) {
    Json types = Json::array();
    for (const TypeCost& type : tensor.types) {
      types.push_back({{"type", info(type.type).name}, {"bytes", type.bytes}, {"divergence", type.divergence}});
    }
    tensors.push_back({{"name", tensor.name}, {"values", tensor.values}, {"types", std::move(types)}});
  }
  const Json json = {{"measured", costs.key}, {"divergences", costs.divergences}, {"tensors", std::move(tensors)}};
  return json.dump(1) + "\n";
}

CostFile read_costs(const fs::path& path, const std::string& key) {
  CostFile none{.key = key, .divergences = {}, .tensors = {}};
  std::error_code error;
  const uintmax_t size = fs::file_size(path, error);
  if (error) return none;
  if (size > kMaxBytes) refuse(path.string());
  std::ifstream in(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  CostFile costs = parse_costs(text, path.string());
  return costs.key == key ? costs : none;
}

void write_costs(const fs::path& path, const CostFile& costs) {
  const std::string text = costs_text(costs);
  OutputFile file(path);
  file.write(std::as_bytes(std::span(text)));
  file.finish();
}

}  // namespace autoglm
