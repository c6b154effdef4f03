#include "compress/sensitivity.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "base/error.h"
#include "compress/allocate.h"
#include "compress/cost_file.h"
#include "compress/grid.h"
#include "compress/layer_walk.h"
#include "compress/moments.h"
#include "compress/probe.h"
#include "compress/tensor_store.h"
#include "model/families/family.h"
#include "model/weights.h"

namespace autoglm {
namespace {

constexpr int64_t kSampleRows = 128;  // of a tensor, by which its rounding error at each type is known

constexpr Type kTypes[] = {Type::q2_k, Type::q3_k, Type::iq4_xs, Type::iq4_nl, Type::q4_k, Type::q4_1,
                           Type::q5_0, Type::q5_k, Type::q5_1,   Type::q6_k,   Type::q8_0};

constexpr Type kProbe = Type::q4_0;

/// Calls body(row, values) for `count` rows spread over the tensor, on all workers.
template <typename F>
void for_rows(WorkerPool& pool, const LocatedTensor& t, int64_t count, F&& body) {
  const int64_t cols = t.shape.cols;
  const int64_t rows = t.shape.count * t.shape.rows;
  std::vector<std::byte> whole;
  if (!t.is_view()) {
    whole.resize(static_cast<size_t>(t.bytes()));
    t.copy_to(whole.data());
  }
  const std::byte* data = t.is_view() ? t.view().data() : whole.data();
  pool.parallel_for(count, 4, [&](int64_t begin, int64_t end) {
    std::vector<float> x(static_cast<size_t>(cols));
    for (int64_t i = begin; i < end; ++i) {
      info(t.type).decode(data + i * rows / count * row_bytes(t.type, cols), x.data(), cols);
      body(i, x);
    }
  });
}

std::vector<float> weights_of(const LocatedTensor& t, const std::vector<float>& importance) {
  std::vector<float> h(importance);
  if (std::ssize(h) != t.shape.cols) h.assign(static_cast<size_t>(t.shape.cols), 1.0f);
  return h;
}

EncodedTensor encode_probe(WorkerPool& pool, const LocatedTensor& t, const std::vector<float>& importance) {
  const std::vector<float> h = weights_of(t, importance);
  const int64_t rows = t.shape.count * t.shape.rows;
  const int64_t stride = row_bytes(kProbe, t.shape.cols);
  EncodedTensor out{.type = kProbe, .bytes = std::vector<std::byte>(static_cast<size_t>(rows * stride))};
  for_rows(pool, t, rows, [&](int64_t r, const std::vector<float>& x) {
    encode_row(*grid_of(kProbe), x.data(), h.data(), t.shape.cols, out.bytes.data() + r * stride);
  });
  return out;
}

/// Squared error of the outputs at every type that the columns allow, by a sample of rows: of rounding the weights, and
/// for types of 256 columns a block also what llama.cpp loses there by rounding the inputs more coarsely.
std::map<Type, double> rounding_errors(WorkerPool& pool, const LocatedTensor& t, const ProbeGroup& group) {
  const std::vector<float> h = weights_of(t, group.importance);
  const int64_t cols = t.shape.cols;
  const int64_t rows = t.shape.count * t.shape.rows;
  const int64_t samples = std::min(rows, kSampleRows);
  std::map<Type, double> out;
  std::vector<Type> types(std::begin(kTypes), std::end(kTypes));
  types.push_back(kProbe);
  for (const Type type : types) {
    if (cols % info(type).block_columns != 0) continue;
    const bool coarse = info(type).block_columns == 256 && std::ssize(group.coarse) == cols;
    std::vector<double> sums(static_cast<size_t>(samples));
    for_rows(pool, t, samples, [&](int64_t i, const std::vector<float>& x) {
      std::vector<std::byte> blocks(static_cast<size_t>(row_bytes(type, cols)));
      std::vector<float> back(x.size());
      encode_row(*grid_of(type), x.data(), h.data(), cols, blocks.data());
      info(type).decode(blocks.data(), back.data(), cols);
      for (size_t c = 0; c < x.size(); ++c) {
        const double difference = static_cast<double>(x[c]) - static_cast<double>(back[c]);
        double error = static_cast<double>(h[c]) * difference * difference;
        if (coarse)
          error += static_cast<double>(group.coarse[c]) * static_cast<double>(x[c]) * static_cast<double>(x[c]);
        sums[static_cast<size_t>(i)] += error;
      }
    });
    out[type] =
        std::accumulate(sums.begin(), sums.end(), 0.0) * static_cast<double>(rows) / static_cast<double>(samples);
  }
  return out;
}

TensorCost unmeasured(const ArchSpec& spec, const LocatedTensor& t) {
  // Columns that fill no block, or inputs that cannot be seen: 8 bits where that is possible.
  const Type type = type_for_columns(Type::q8_0, t.shape.cols);
  const int64_t rows = t.shape.count * t.shape.rows;
  return {.name = gguf_name(spec, *t.row, t.layer),
          .values = t.shape.elements(),
          .types = {{.type = type, .bytes = rows * row_bytes(type, t.shape.cols), .divergence = 0}}};
}

// gate and up that share a tensor share its type.
void add_to(TensorCost& sum, const TensorCost& other) {
  sum.values += other.values;
  for (size_t i = 0; i < sum.types.size(); ++i) {
    sum.types[i].bytes += other.types[i].bytes;
    sum.types[i].divergence += other.types[i].divergence;
  }
}

// The costs of one set of maps, whose divergence at kProbe was measured.
void add_costs(WorkerPool& pool, const ArchSpec& spec, const ProbeGroup& group, double divergence,
               std::map<const LocatedTensor*, TensorCost>& costs) {
  std::vector<std::map<Type, double>> errors;
  double error = 0;
  for (const LocatedTensor* t : group.maps.tensors) {
    errors.push_back(rounding_errors(pool, *t, group));
    error += errors.back().at(kProbe);
  }
  for (size_t i = 0; i < errors.size(); ++i) {
    const LocatedTensor& t = *group.maps.tensors[i];
    TensorCost cost{.name = gguf_name(spec, *t.row, t.layer), .values = t.shape.elements(), .types = {}};
    for (const auto& [type, of_type] : errors[i]) {
      if (type == kProbe) continue;
      cost.types.push_back({.type = type,
                            .bytes = t.shape.count * t.shape.rows * row_bytes(type, t.shape.cols),
                            .divergence = error > 0 ? divergence * of_type / error : 0.0});
    }
    std::ranges::sort(cost.types, {}, [](const TypeCost& c) { return std::pair(c.bytes, c.type); });
    costs.emplace(&t, std::move(cost));
  }
}

bool fits(const ProbeGroup& group) {
  return std::ranges::all_of(group.maps.tensors, [](const LocatedTensor* t) { return t->shape.cols % 32 == 0; });
}

// Divergences of all groups that can be probed, those known already left as they are.
void measure_groups(Probe& probe, WorkerPool& pool, const SensitivityOptions& options, CostFile& costs) {
  const std::vector<ProbeGroup>& groups = probe.groups();
  std::vector<size_t> wanted;
  const auto name = [&](size_t i) { return groups[i].maps.tensors.front()->name; };
  for (size_t i = 0; i < groups.size(); ++i) {
    if (fits(groups[i]) && !costs.divergences.contains(name(i))) wanted.push_back(i);
  }
  const auto total = std::ssize(wanted);
  int64_t done = 0;
  probe.measure(
      wanted,
      [&](const LocatedTensor& t, const std::vector<float>& importance) {
        if (options.progress) options.progress("measuring", std::min(++done, total), 2 * total);
        return encode_probe(pool, t, importance);
      },
      [&](size_t group, double divergence) {
        costs.divergences[name(group)] = divergence;
        if (!options.file.empty()) write_costs(options.file, costs);
      });
}

}  // namespace

std::vector<TensorCost> measure_sensitivity(const ModelSource& source, Runtime& runtime,
                                            const SensitivityOptions& options) {
  CostFile costs;
  costs.key = hex_hash("sensitivity 3\n" + source_key(source, options.windows));
  if (!options.file.empty()) costs = read_costs(options.file, costs.key);
  if (!costs.tensors.empty()) return costs.tensors;
  Probe probe(source, runtime, options.windows, options.check);
  probe.baseline();
  measure_groups(probe, *runtime.pool, options, costs);

  const ArchSpec& spec = probe.runner().spec();
  std::map<const LocatedTensor*, TensorCost> of_tensor;
  for (const ProbeGroup& group : probe.groups()) {
    if (options.check) options.check();
    const auto found = costs.divergences.find(group.maps.tensors.front()->name);
    if (fits(group) && found != costs.divergences.end()) {
      add_costs(*runtime.pool, spec, group, found->second, of_tensor);
    }
  }
  for (const LocatedTensor& t : probe.runner().tensors()) {
    if (t.row->form != Form::matrix || t.row->role == Role::router) continue;
    const auto found = of_tensor.find(&t);
    TensorCost cost = found != of_tensor.end() ? found->second : unmeasured(spec, t);
    if (spec.gguf_fused_gate_up && t.row->role == Role::up) {
      add_to(costs.tensors.back(), cost);  // its gate stands before it
      costs.tensors.back().name = cost.name;
    } else {
      costs.tensors.push_back(std::move(cost));
    }
  }
  if (!options.file.empty()) write_costs(options.file, costs);
  return costs.tensors;
}

Recipe choose_recipe(const std::vector<TensorCost>& tensors, int64_t budget) {
  std::vector<std::vector<Choice>> items;
  int64_t least = 0;
  for (const TensorCost& tensor : tensors) {
    auto& choices = items.emplace_back();
    for (const TypeCost& type : tensor.types) choices.push_back({type.bytes, type.divergence});
    least += std::ranges::min_element(choices, {}, &Choice::bytes)->bytes;
  }
  const auto chosen = allocate(items, budget);
  if (!chosen) {
    fail(Code::bad_flag, fmt::format("no types are small enough for {} of weights", format_bytes(budget)),
         fmt::format("the smallest need {}", format_bytes(least)));
  }
  Recipe recipe{.matrix = Type::q8_0, .tensors = {}};
  for (size_t i = 0; i < tensors.size(); ++i) {
    recipe.tensors.emplace_back(tensors[i].name, tensors[i].types[static_cast<size_t>((*chosen)[i])].type);
  }
  return recipe;
}

int64_t bytes_beside(const ModelSource& source, const std::vector<TensorCost>& tensors, const Metadata& tokenizer) {
  // Norms and biases are F32; a tensor's place in the header and its padding are less than 160 bytes.
  int64_t bytes = 160 * std::ssize(source.tensors()) + 4096;
  int64_t values = 0;
  for (const TensorEntry& entry : source.tensors()) values += entry.elements();
  for (const TensorCost& tensor : tensors) values -= tensor.values;
  bytes += 4 * std::max<int64_t>(values, 0);
  for (const Metadata* metadata : {&source.metadata(), &tokenizer}) {
    for (const auto& [key, value] : metadata->all()) {
      bytes += std::ssize(key) + 32;
      if (const auto* text = std::get_if<std::string>(&value)) bytes += std::ssize(*text);
      const auto* array = std::get_if<MetaArray>(&value);
      if (!array) continue;
      if (const auto* texts = std::get_if<std::vector<std::string>>(array)) {
        for (const std::string& text : *texts) bytes += std::ssize(text) + 8;
      } else {
        bytes += 4 * std::visit([](const auto& list) { return std::ssize(list); }, *array);
      }
    }
  }
  return bytes;
}

}  // namespace autoglm
