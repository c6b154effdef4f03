// A model of a single layer, for work that goes layer by layer.
#pragma once

#include "model/arch_spec.h"

namespace autoglm {

/// The specification of a model that has only that layer of `spec`, as layer 0.
ArchSpec slice_layer(const ArchSpec& spec, int layer);

}  // namespace autoglm
