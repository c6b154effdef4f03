// What each tensor costs in quality at each type, measured, and the recipe that this gives for a size.
//
// Every set of linear maps that read the same input (and the head, and the embedding) is rounded alone to one coarse
// type, and the model's answers to some text are compared with those of the untouched model: the Kullback-Leibler
// divergence that this set costs. All these variants of the model go through the layers together, so that only one
// layer's weights are in memory; where their states would take too much, in several rounds. From there to other types
// it goes by the weighted error of the rounding itself, to which the divergence is proportional while errors are small,
// and costs of different tensors add up.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "compress/recipe.h"
#include "format/model_source.h"
#include "model/runtime.h"

namespace autoglm {

struct TypeCost {
  Type type = Type::f32;
  int64_t bytes = 0;
  double divergence = 0;  // nats a token that the tensor is expected to cost
};

struct TensorCost {
  std::string name;  // in GGUF
  int64_t values = 0;
  std::vector<TypeCost> types;  // that its columns allow, smallest first
};

struct SensitivityOptions {
  std::vector<std::vector<int32_t>> windows;  // eight of them are read, up to 64 tokens of each
  /// What was measured is kept here, piece by piece, and not measured again for the same model and text; may be empty.
  std::filesystem::path file{};
  std::function<void(std::string_view stage, int64_t done, int64_t total)> progress{};  // may be empty
  std::function<void()> check{};                                                        // may throw
};

/// Errors: those of reading a model; numeric; bad_file for a `file` that holds something else.
std::vector<TensorCost> measure_sensitivity(const ModelSource& source, Runtime& runtime,
                                            const SensitivityOptions& options);

/// The types that cost least within so many bytes of all these tensors. Error bad_flag if no type is small enough; the
/// hint says what would be.
Recipe choose_recipe(const std::vector<TensorCost>& tensors, int64_t budget);

/// Bytes of a GGUF of this model that are not these tensors.
int64_t bytes_beside(const ModelSource& source, const std::vector<TensorCost>& tensors, const Metadata& tokenizer);

}  // namespace autoglm
