// A model's weights on the device, as the layer loop wants them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "kernels/backend.h"
#include "model/arch_spec.h"
#include "model/embedding_rows.h"
#include "model/model.h"
#include "model/tensor_table.h"

namespace autoglm {

/// Empty handles where the family has no such tensor. Shapes are in tensor_table.cpp.
struct LayerWeights {
  Norm attention_norm, attention_post_norm, q_norm, k_norm, ffn_norm, ffn_post_norm;
  Weight q, k, v, attention_output;
  Buffer q_bias, k_bias, v_bias, attention_output_bias;
  Weight q_a, q_b, kv_a, k_b, v_b;
  Norm q_a_norm, kv_a_norm;
  Weight gate, up, down;
  Buffer gate_bias, up_bias, down_bias;
  Weight router, expert_gate, expert_up, expert_down, shared_gate, shared_up, shared_down;
  Buffer router_correction;
};

struct ModelWeights {
  Weight embedding, output;  // the same handle when the head is tied
  EmbeddingRows rows;        // of the embedding, where nothing needs all of it
  Norm output_norm;
  std::vector<LayerWeights> layers;
  /// Tensors that the file holds in pieces, put together; backends may read them in place.
  std::vector<std::unique_ptr<std::byte[]>> copies;
  std::shared_ptr<const void> packed;  // the block that all packed forms lie in
  std::optional<double> packing_ms;    // none: nothing had to be packed
};

/// Where a matrix's handle lives; null for a role that is no matrix of a layer.
Weight* weight_slot(LayerWeights& weights, Role role);

/// Memory that a tensor takes once it is loaded: its packed form, or the mapped part of the file that is read instead.
int64_t loaded_bytes(const LocatedTensor& tensor, const Backend& backend, bool tied_head, Precision precision);

/// Memory that the weights will keep resident.
struct WeightBytes {
  int64_t used = 0;    // what is read in the mapped file, plus copies and packed forms
  int64_t source = 0;  // of a source that is no file but memory: what was packed from it and stays
};
WeightBytes weight_bytes(const ModelSource& source, const std::vector<LocatedTensor>& tensors, bool tied_head,
                         const Backend& backend, Precision precision, int64_t batch_rows);

/// Hands every tensor to the backend; packed forms come from options.cache where it has them. The source must outlive
/// the result.
ModelWeights load_weights(const ArchSpec& spec, const ModelSource& source, const std::vector<LocatedTensor>& tensors,
                          Runtime& runtime, const LoadOptions& options);

/// The values of a vector tensor (norm, bias), with 1 added where the container stores a norm's weight less one.
std::vector<float> read_vector(const ArchSpec& spec, Container container, const LocatedTensor& tensor);

}  // namespace autoglm
