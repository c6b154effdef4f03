#include "cli/work.h"

#include "model/tensor_table.h"

namespace autoglm {

namespace {

/// Whether the last layer multiplies it for rows with logits only (model/forward.cpp).
bool only_wanted(const ArchSpec& spec, Role role) {
  if (role == Role::q) return !spec.latent();
  return role == Role::attention_output || role >= Role::ffn_norm;
}

}  // namespace

TokenWork token_work(const ArchSpec& spec, const ModelSource& source) {
  TokenWork work;
  double total_bytes = 0;
  double total_values = 0;
  for (const LocatedTensor& tensor : locate_tensors(spec, source)) {
    if (tensor.row->form != Form::matrix) continue;
    const Role role = tensor.row->role;
    const bool embedding = role == Role::token_embedding;
    const bool head = role == Role::output || (embedding && spec.tied_head);
    if (embedding && !head) continue;  // one row a token
    double share = 1.0;
    if (role == Role::expert_gate || role == Role::expert_up || role == Role::expert_down) {
      share = static_cast<double>(spec.router.top_k) / spec.router.experts;
    }
    const double values = static_cast<double>(tensor.shape.elements()) * share;
    const double bytes = static_cast<double>(tensor.bytes()) * share;
    (head ? work.head_weights : work.layer_weights) += static_cast<int64_t>(values);
    if (tensor.layer + 1 == spec.layers && only_wanted(spec, role)) work.last_weights += static_cast<int64_t>(values);
    work.bytes += static_cast<int64_t>(bytes);
    total_bytes += bytes;
    total_values += values;
  }
  work.bits = total_values > 0 ? 8 * total_bytes / total_values : 0;
  return work;
}

}  // namespace autoglm
