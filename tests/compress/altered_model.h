// A model's weights in other types, with faults planted.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "format/model_source.h"
#include "model/random_weights.h"
#include "model/tiny_shapes.h"

namespace autoglm::test {

/// A tensor on its way: its values, before they are encoded.
using Alter = std::function<void(const TensorEntry& tensor, std::vector<float>& values)>;
/// A tensor's bytes, after they are encoded.
using AlterBytes = std::function<void(const TensorEntry& tensor, std::vector<std::byte>& bytes)>;

class AlteredModel : public ModelSource {
 public:
  /// Matrices become `type` where their columns fill its blocks; the rest stays as it is.
  AlteredModel(const ModelSource& from, Type type, const Alter& alter = {}, const AlterBytes& alter_bytes = {}) {
    container_ = from.container();
    metadata_ = from.metadata();
    path_ = "altered.gguf";
    storage_.reserve(from.tensors().size());
    for (const TensorEntry& tensor : from.tensors()) {
      const bool fits = tensor.shape.size() > 1 && tensor.columns() % info(type).block_columns == 0;
      const Type to = fits ? type : tensor.type;
      std::vector<float> values(static_cast<size_t>(tensor.elements()));
      info(tensor.type).decode(tensor.data.data(), values.data(), tensor.elements());
      if (alter) alter(tensor, values);
      std::vector<std::byte> bytes(static_cast<size_t>(row_bytes(to, tensor.columns()) * tensor.rows()));
      info(to).encode(values.data(), bytes.data(), tensor.elements());
      if (alter_bytes) alter_bytes(tensor, bytes);
      storage_.push_back(std::move(bytes));
      tensors_.push_back({tensor.name, to, tensor.shape, storage_.back()});
    }
    index_tensors();
  }

 private:
  std::vector<std::vector<std::byte>> storage_;
};

inline std::unique_ptr<ModelSource> random_source(const ModelShape& shape, Type type, uint64_t seed = 7) {
  WorkerPool pool({.threads = 1});
  TypeRecipe recipe;
  recipe.matrix = type;
  recipe.tied = type;
  return random_model(shape, recipe, seed, pool);
}

}  // namespace autoglm::test
