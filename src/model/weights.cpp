#include "model/weights.h"

#include <algorithm>

#include "base/error.h"
#include "base/mmap.h"

namespace autoglm {
namespace {

WeightSource source_of(const LocatedTensor& tensor, std::span<const std::byte> data, bool mapped = false) {
  return {.name = tensor.name,
          .type = tensor.type,
          .count = tensor.shape.count,
          .rows = tensor.shape.rows,
          .cols = tensor.shape.cols,
          .data = data,
          .mapped = mapped};
}

// A tensor that was copied need not be resident twice.
void forget_source(const ModelSource& source, const LocatedTensor& tensor) {
  if (!source.mapped()) return;
  for (const TensorPiece& piece : tensor.pieces) forget_pages(piece.entry->data);
}

// Where each role's handle lives in LayerWeights.
Weight* weight_slot(LayerWeights& w, Role role) {
  switch (role) {
    case Role::q:
      return &w.q;
    case Role::k:
      return &w.k;
    case Role::v:
      return &w.v;
    case Role::attention_output:
      return &w.attention_output;
    case Role::q_a:
      return &w.q_a;
    case Role::q_b:
      return &w.q_b;
    case Role::kv_a:
      return &w.kv_a;
    case Role::k_b:
      return &w.k_b;
    case Role::v_b:
      return &w.v_b;
    case Role::gate:
      return &w.gate;
    case Role::up:
      return &w.up;
    case Role::down:
      return &w.down;
    case Role::router:
      return &w.router;
    case Role::expert_gate:
      return &w.expert_gate;
    case Role::expert_up:
      return &w.expert_up;
    case Role::expert_down:
      return &w.expert_down;
    case Role::shared_gate:
      return &w.shared_gate;
    case Role::shared_up:
      return &w.shared_up;
    case Role::shared_down:
      return &w.shared_down;
    default:
      return nullptr;
  }
}

Buffer* bias_slot(LayerWeights& w, Role role) {
  switch (role) {
    case Role::q_bias:
      return &w.q_bias;
    case Role::k_bias:
      return &w.k_bias;
    case Role::v_bias:
      return &w.v_bias;
    case Role::attention_output_bias:
      return &w.attention_output_bias;
    case Role::gate_bias:
      return &w.gate_bias;
    case Role::up_bias:
      return &w.up_bias;
    case Role::down_bias:
      return &w.down_bias;
    case Role::router_correction:
      return &w.router_correction;
    default:
      return nullptr;
  }
}

Norm* norm_slot(LayerWeights& w, Role role) {
  switch (role) {
    case Role::attention_norm:
      return &w.attention_norm;
    case Role::attention_post_norm:
      return &w.attention_post_norm;
    case Role::q_norm:
      return &w.q_norm;
    case Role::k_norm:
      return &w.k_norm;
    case Role::q_a_norm:
      return &w.q_a_norm;
    case Role::kv_a_norm:
      return &w.kv_a_norm;
    case Role::ffn_norm:
      return &w.ffn_norm;
    case Role::ffn_post_norm:
      return &w.ffn_post_norm;
    default:
      return nullptr;
  }
}

/// The precision that a matrix is loaded with. Which experts are chosen is decided in float32 in every precision; an
/// embedding table that is not the head too is only looked up, which packing would not help.
Precision precision_for(const LocatedTensor& tensor, bool tied_head, Precision precision) {
  const Role role = tensor.row->role;
  const bool exact = role == Role::router || (role == Role::token_embedding && !tied_head);
  return exact ? Precision::f32 : precision;
}

class Loader {
 public:
  Loader(const ArchSpec& spec, const ModelSource& source, Backend& backend, Precision precision)
      : spec_(spec), source_(source), backend_(backend), precision_(precision) {
    out_.layers.resize(static_cast<size_t>(spec.layers));
  }

  ModelWeights run(const std::vector<LocatedTensor>& tensors, const LoadProgress& progress) {
    int64_t total = 0;
    int64_t done = 0;
    for (const LocatedTensor& tensor : tensors) total += tensor.bytes();
    for (const LocatedTensor& tensor : tensors) {
      load(tensor);
      done += tensor.bytes();
      if (progress) progress(done, total);
    }
    if (spec_.tied_head) out_.output = out_.embedding;
    return std::move(out_);
  }

 private:
  void load(const LocatedTensor& tensor) {
    const Role role = tensor.row->role;
    if (role == Role::token_embedding) {
      out_.embedding = matrix(tensor);
    } else if (role == Role::output) {
      out_.output = matrix(tensor);
    } else if (role == Role::output_norm) {
      out_.output_norm = norm(tensor);
    } else {
      LayerWeights& layer = out_.layers[static_cast<size_t>(tensor.layer)];
      if (Weight* weight = weight_slot(layer, role)) {
        *weight = matrix(tensor);
      } else if (Buffer* bias = bias_slot(layer, role)) {
        *bias = vector(tensor);
      } else {
        Norm* slot = norm_slot(layer, role);
        AUTOGLM_CHECK(slot, "a role of the tensor table has no place in LayerWeights");
        *slot = norm(tensor);
      }
    }
  }

  Weight matrix(const LocatedTensor& tensor) {
    const Precision precision = precision_for(tensor, spec_.tied_head, precision_);
    const bool looked_up = tensor.row->role == Role::token_embedding;  // rows are read where they are mapped
    if (tensor.is_view()) {
      Weight weight = backend_.load(source_of(tensor, tensor.view(), source_.mapped()), precision);
      if (weight.bytes > 0)
        forget_source(source_, tensor);  // rows of an embedding that are looked up come back one by one
      return weight;
    }
    const auto size = static_cast<size_t>(tensor.bytes());
    auto copy = std::make_unique_for_overwrite<std::byte[]>(size);
    tensor.copy_to(copy.get());
    forget_source(source_, tensor);
    Weight weight = backend_.load(source_of(tensor, {copy.get(), size}), precision);
    if (weight.bytes == 0 || looked_up) out_.copies.push_back(std::move(copy));  // the backend reads it in place
    return weight;
  }

  Buffer vector(const LocatedTensor& tensor) {
    const std::vector<float> values = read_vector(spec_, source_.container(), tensor);
    Buffer buffer = backend_.make_buffer(1, tensor.shape.cols);
    backend_.write(buffer, 0, values);
    return buffer;
  }

  Norm norm(const LocatedTensor& tensor) {
    const bool latent = tensor.row->role == Role::q_a_norm || tensor.row->role == Role::kv_a_norm;
    return {.weight = vector(tensor), .eps = latent ? spec_.latent_eps : spec_.norm_eps};
  }

  const ArchSpec& spec_;
  const ModelSource& source_;
  Backend& backend_;
  Precision precision_;
  ModelWeights out_;
};

}  // namespace

std::vector<float> read_vector(const ArchSpec& spec, Container container, const LocatedTensor& tensor) {
  std::vector<float> values(static_cast<size_t>(tensor.shape.cols));
  info(tensor.type).decode(tensor.view().data(), values.data(), tensor.shape.cols);
  if (container == Container::safetensors && spec.hf_norm_plus_one && tensor.row->form == Form::norm) {
    for (float& value : values) value += 1.0f;
  }
  return values;
}

int64_t loaded_bytes(const LocatedTensor& tensor, const Backend& backend, bool tied_head, Precision precision) {
  if (tensor.row->form != Form::matrix) return tensor.bytes();
  const int64_t owned = backend.weight_bytes(source_of(tensor, {}), precision_for(tensor, tied_head, precision));
  return owned > 0 ? owned : tensor.bytes();
}

int64_t weight_bytes(const std::vector<LocatedTensor>& tensors, const Backend& backend, Precision precision) {
  const bool tied_head =
      std::none_of(tensors.begin(), tensors.end(), [](const LocatedTensor& t) { return t.row->role == Role::output; });
  int64_t total = 0;
  for (const LocatedTensor& tensor : tensors) total += loaded_bytes(tensor, backend, tied_head, precision);
  return total;
}

ModelWeights load_weights(const ArchSpec& spec, const ModelSource& source, const std::vector<LocatedTensor>& tensors,
                          Backend& backend, Precision precision, const LoadProgress& progress) {
  return Loader(spec, source, backend, precision).run(tensors, progress);
}

}  // namespace autoglm
