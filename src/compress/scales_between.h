// The scales of channels by which two forms of a model differ, found from their weights.
#pragma once

#include <vector>

#include "base/pool.h"
#include "format/model_source.h"
#include "model/channel_scales.h"

namespace autoglm {

/// One of the two, by its tensors.
struct ScaledForm {
  const ArchSpec* spec = nullptr;
  Container container = Container::gguf;
  const std::vector<LocatedTensor>* tensors = nullptr;
};

/// What B's channels were multiplied by against A's, of geometric mean 1 as quantize makes them, so that a tensor that
/// is a multiple of A's still is one. By least squares over the columns of what reads the channels, or where that
/// resembles nothing, over what writes them. Sites whose tensors have other shapes are left out. Both outlive the
/// result.
ChannelScales scales_between(const ScaledForm& a, const ScaledForm& b, WorkerPool& pool);

}  // namespace autoglm
