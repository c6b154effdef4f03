// A model to a GGUF of smaller types, one tensor at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "compress/recipe.h"
#include "compress/scaling.h"
#include "format/model_source.h"
#include "model/runtime.h"

namespace autoglm {

/// rtn: each value to the nearest, scales of least squared error. importance: the error of a column weighs as its
/// input's second moment. gptq: errors are made up for in later columns (compress/gptq.h), layer by layer on inputs
/// that come from what has been quantized already.
enum class QuantizeMethod : uint8_t { rtn, importance, gptq };

std::string_view name(QuantizeMethod method);

/// Mean squared inputs by GGUF name of the tensor, one a column; for stacked experts one a column of each expert, or of
/// all.
using Importance = std::map<std::string, std::vector<float>>;

struct QuantizeOptions {
  Recipe recipe;
  QuantizeMethod method = QuantizeMethod::rtn;
  /// awq: channels are scaled so that rounding costs less (compress/scaling.h), wherever that is so; needs `windows` or
  /// `importance`, whatever the method.
  Scaling scaling = Scaling::none;
  std::vector<std::vector<int32_t>> windows{};  // of calibration text; importance may come from a file instead
  Importance importance{};
  double damping = 0.01;
  bool ordered = true;      // gptq: columns of large inputs first
  bool requantize = false;  // take a source that is already quantized
  Metadata tokenizer{};     // as in ConvertOptions
  std::string model_name{};
  std::filesystem::path work{};  // finished tensors are kept here until the file is whole; empty: beside it
  /// What is being done, and how far: weights of `total`, those that an earlier run had finished not counted. May be
  /// empty.
  std::function<void(std::string_view stage, int64_t done, int64_t total)> progress{};
  std::function<void()> check{};  // often; may throw (Ctrl-C)
};

/// What became of a matrix.
struct QuantizedTensor {
  std::string name;
  Type wanted = Type::f32;  // by the recipe
  Type type = Type::f32;    // with the fallback for its columns
  QuantizeMethod method = QuantizeMethod::rtn;
  int64_t values = 0;
  int64_t bytes = 0;
};

struct QuantizeResult {
  int64_t bytes = 0;  // of the file
  double bits_per_weight = 0;
  std::vector<QuantizedTensor> tensors;
  int64_t resumed = 0;  // tensors that an earlier, interrupted run had finished
  int64_t scaled = 0;   // sets of channels that were scaled,
  int64_t sites = 0;    // of so many that could have been
};

/// bad_flag if a matrix of `source` is quantized. All below ask it unless `requantize`.
void refuse_quantized(const ModelSource& source);

/// Plans without reading weights: what quantize_model() would write, `bytes` being those of the matrices alone.
QuantizeResult plan_quantize(const ModelSource& source, const QuantizeOptions& options);

/// Writes `out`, which appears when it is whole. Results do not depend on the number of threads. Errors: bad_flag (an
/// already quantized source, a method without calibration), numeric (inputs that are no numbers), those of reading a
/// model and of GgufWriter.
QuantizeResult quantize_model(const ModelSource& source, Runtime& runtime, const std::filesystem::path& out,
                              const QuantizeOptions& options);

}  // namespace autoglm
