// The forms of a model that could be made: recipes along the frontier, with predicted figures.
#pragma once

#include <vector>

#include "compress/sensitivity.h"
#include "format/model_source.h"
#include "optimize/report.h"

namespace autoglm {

/// What predictions start from: the source, measured on its default settings.
struct SourceFigures {
  FormFigures figures;
  double decode_share = 0.7;  // of a request's time; the rest reads the prompt
  int64_t matrix_bytes = 0;   // of all matrices in the file
};

/// Forms of 3 to 8.5 bits a weight, each the knapsack's best for its bytes, and one of just limits.max_bytes; coarsest
/// first. `beside`: bytes of the file that are no matrices.
std::vector<FormRecord> knapsack_forms(const std::vector<TensorCost>& costs, int64_t beside,
                                       const SourceFigures& source, const Limits& limits);

/// Forms with one type for all tensors (embedding and head in at least 6 bits), where sensitivity was not measured.
std::vector<FormRecord> uniform_forms(const ModelSource& source, int64_t beside, const SourceFigures& figures);

/// Of the smallest form that can be made.
int64_t least_bytes(const ModelSource& source, int64_t beside, bool requantize);

/// Whether a matrix is stored in a quantized type.
bool is_quantized(const ModelSource& source);

/// "BF16 99 %, F32 1 %".
std::string types_of(const ModelSource& source);

}  // namespace autoglm
