// The inference layer loop.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "kernels/backend.h"
#include "model/activations.h"
#include "model/arch_spec.h"
#include "model/weights.h"

namespace autoglm {

/// Runs every layer over the `rows` residual rows in a.x, which hold the embeddings before and the last layer's result
/// after. With `wanted` (rows, ascending) that result is computed for these rows only, and they are the first of a.x
/// then; the last layer's keys and values are stored for all. `kv` says where each sequence's keys and values are; its
/// `layer` is set here. `ropes` are the backend's numbers of spec.ropes. Allocates nothing, throws nothing.
void forward_layers(const ArchSpec& spec, const ModelWeights& weights, Backend& backend, Activations& a,
                    std::span<const int> ropes, int64_t rows, KvView kv,
                    std::optional<std::span<const int32_t>> wanted = {});

}  // namespace autoglm
