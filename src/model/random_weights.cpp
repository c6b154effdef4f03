#include "model/random_weights.h"

#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>

#include "base/error.h"
#include "base/split_mix.h"
#include "model/families/family.h"
#include "model/gguf_metadata.h"
#include "model/tensor_table.h"

namespace autoglm {
namespace {

class Random : public SplitMix64 {
 public:
  using SplitMix64::SplitMix64;
  /// About normal: four 16-bit uniforms, with mean 0 and deviation 1.
  float normal() {
    const uint64_t bits = next();
    const int64_t sum =
        static_cast<int64_t>((bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48));
    return static_cast<float>(sum - 2 * 0xffff) * (1.7320508f / 65536.0f);
  }
};

// Values like those of trained matrices: about normal, rows of 256 whose deviations differ (log-normally, by a third),
// and one in 512 several times larger; the root mean square of all is `deviation`.
void draw(Random& random, float deviation, std::span<float> values) {
  constexpr size_t kStretch = 256;
  double squares = 0;
  for (size_t begin = 0; begin < values.size(); begin += kStretch) {
    const float local = std::exp(0.3f * random.normal());
    for (float& value : values.subspan(begin, std::min(kStretch, values.size() - begin))) {
      value = local * random.normal();
      if (random.next() % 512 == 0) value *= 4.0f;
      squares += double{value} * value;
    }
  }
  const double rms = std::sqrt(squares / static_cast<double>(values.size()));
  for (float& value : values) value *= deviation / static_cast<float>(rms);
}

// Blocks to fill a tensor from: making every value anew would take minutes for a large model.
std::vector<std::byte> make_palette(const TypeInfo& type, Random& random, float deviation) {
  constexpr int64_t kValues = 64 * 1024;
  std::vector<float> values(static_cast<size_t>(kValues));
  draw(random, deviation, values);
  std::vector<std::byte> palette(static_cast<size_t>(row_bytes(type.type, kValues)));
  type.encode(values.data(), palette.data(), kValues);
  return palette;
}

void fill_matrix(const TypeInfo& type, uint64_t seed, float deviation, std::span<std::byte> out) {
  Random random(seed);
  const auto palette = make_palette(type, random, deviation);
  // Runs of a few blocks from random places of the palette.
  const auto run = static_cast<size_t>(std::max(1, 256 / type.block_bytes) * type.block_bytes);
  const size_t places = (palette.size() - run) / static_cast<size_t>(type.block_bytes) + 1;
  for (size_t done = 0; done < out.size(); done += run) {
    const size_t from = random.next() % places * static_cast<size_t>(type.block_bytes);
    std::memcpy(out.data() + done, palette.data() + from, std::min(run, out.size() - done));
  }
}

// Norms near 1, biases and corrections near 0, all different.
void fill_vector(const TensorRow& row, uint64_t seed, std::span<std::byte> out) {
  Random random(seed);
  for (size_t i = 0; i + 4 <= out.size(); i += 4) {
    const float value = row.form == Form::norm ? 1.0f + 0.05f * random.normal() : 0.02f * random.normal();
    std::memcpy(out.data() + i, &value, 4);
  }
}

/// A source that has nothing but names: tells a family's reader which head there is.
class StubSource final : public ModelSource {
 public:
  StubSource() {
    container_ = Container::safetensors;
    for (const char* name : {"lm_head.weight", "transformer.output_layer.weight"})
      tensors_.push_back({.name = name, .shape = {}, .data = {}});
    index_tensors();
  }
};

/// general.file_type of a file whose matrices are mostly of this type (llama.cpp's numbers).
int64_t file_type(Type type) {
  static constexpr std::pair<Type, int> kNumbers[] = {
      {Type::f32, 0},   {Type::f16, 1},   {Type::bf16, 32}, {Type::q4_0, 2},    {Type::q4_1, 3},
      {Type::q8_0, 7},  {Type::q5_0, 8},  {Type::q5_1, 9},  {Type::q2_k, 10},   {Type::q3_k, 12},
      {Type::q4_k, 15}, {Type::q5_k, 17}, {Type::q6_k, 18}, {Type::iq4_nl, 25}, {Type::iq4_xs, 30}};
  for (const auto& [known, number] : kNumbers) {
    if (known == type) return number;
  }
  return 0;
}

class RandomSource final : public ModelSource {
 public:
  RandomSource(const ModelShape& shape, const TypeRecipe& recipe, uint64_t seed, WorkerPool& pool,
               const std::function<void()>& check) {
    const ArchSpec spec = shape_spec(shape);
    container_ = Container::gguf;
    path_ = shape.name;
    metadata_ = gguf_metadata(spec);
    metadata_.set("general.name", shape.name);
    metadata_.set("general.file_type", file_type(recipe.matrix));
    metadata_.set("general.quantization_version", int64_t{2});
    const auto rows = list_tensors(spec, recipe);
    allocate();
    std::vector<std::span<std::byte>> places;
    size_t offset = 0;
    for (TensorEntry& tensor : tensors_) {
      const auto bytes = static_cast<size_t>(row_bytes(tensor.type, tensor.columns()) * tensor.rows());
      places.push_back({memory_.get() + offset, bytes});
      tensor.data = places.back();
      offset += aligned(bytes);
    }
    index_tensors();
    pool.parallel_for(std::ssize(tensors_), 1, [&](int64_t begin, int64_t end) {
      for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
        if (check) check();
        fill(spec, *rows[i], tensors_[i], seed * 1'000'003 + i, places[i]);
      }
    });
  }

 private:
  // Gives the memory back also when the constructor throws.
  struct Unmap {
    size_t size;
    void operator()(std::byte* memory) const { munmap(memory, size); }
  };

  static size_t aligned(size_t bytes) { return (bytes + 63) / 64 * 64; }

  // Fills tensors_ with names, types and shapes as llama.cpp has them; returns their rows of the table.
  std::vector<const TensorRow*> list_tensors(const ArchSpec& spec, const TypeRecipe& recipe) {
    std::vector<const TensorRow*> rows;
    for_each_tensor(spec, [&](const TensorRow& row, int layer, const TensorShape& shape) {
      const bool fused = spec.gguf_fused_gate_up && (row.role == Role::gate || row.role == Role::up);
      if (fused && row.role == Role::gate) return;  // its rows are the first half of up's tensor
      TensorEntry tensor{.name = gguf_name(spec, row, layer),
                         .type = type_of(spec, recipe, row, layer, shape.cols),
                         .shape = {},
                         .data = {}};
      if (row.form != Form::matrix) {
        tensor.shape = {shape.cols};
      } else if (row.shard == Shard::experts) {
        tensor.shape = {shape.count, shape.rows, shape.cols};
      } else {
        tensor.shape = {shape.rows * (fused ? 2 : 1), shape.cols};
      }
      size_ += aligned(static_cast<size_t>(row_bytes(tensor.type, tensor.columns()) * tensor.rows()));
      tensors_.push_back(std::move(tensor));
      rows.push_back(&row);
    });
    return rows;
  }

  static Type type_of(const ArchSpec& spec, const TypeRecipe& recipe, const TensorRow& row, int layer, int64_t cols) {
    if (row.form != Form::matrix || row.role == Role::router) return Type::f32;
    Type type = recipe.type_of(row.role, layer, spec.layers);
    if (row.role == Role::token_embedding && spec.tied_head) type = recipe.tied;
    if (cols % info(type).block_columns != 0) {
      const auto fallback = recipe.fallbacks.find(type);
      if (fallback != recipe.fallbacks.end()) type = fallback->second;
    }
    return cols % info(type).block_columns == 0 ? type : Type::f16;
  }

  void allocate() {
    void* memory = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
      fail(Code::out_of_memory, "the system has no " + std::to_string(size_) + " bytes for random weights");
    }
    memory_ = {static_cast<std::byte*>(memory), Unmap{size_}};
  }

  static void fill(const ArchSpec& spec, const TensorRow& row, const TensorEntry& tensor, uint64_t seed,
                   std::span<std::byte> out) {
    if (row.role == Role::rope_factors) {
      std::memcpy(out.data(), spec.rope_origins[0].divisors.data(), out.size());
    } else if (row.form == Form::matrix) {
      const float deviation = 1.0f / std::sqrt(static_cast<float>(tensor.columns()));
      fill_matrix(info(tensor.type), seed, deviation, out);
    } else {
      fill_vector(row, seed, out);
    }
  }

  size_t size_ = 0;
  std::unique_ptr<std::byte, Unmap> memory_{nullptr, Unmap{0}};
};

}  // namespace

Type TypeRecipe::type_of(Role role, int layer, int layers) const {
  // llama.cpp's use_more_bits(): the first and last eighth of the layers, and every third between.
  const bool more = layer >= 0 && (layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2);
  if (const auto named = better.find(role); more && named != better.end()) return named->second;
  const auto named = roles.find(role);
  return named != roles.end() ? named->second : matrix;
}

ArchSpec shape_spec(const ModelShape& shape) {
  HfConfig config(shape.config, "the shape " + shape.name);
  const StubSource stub;
  return read_spec(config, stub);
}

std::unique_ptr<ModelSource> random_model(const ModelShape& shape, const TypeRecipe& recipe, uint64_t seed,
                                          WorkerPool& pool, const std::function<void()>& check) {
  return std::make_unique<RandomSource>(shape, recipe, seed, pool, check);
}

}  // namespace autoglm
