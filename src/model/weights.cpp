#include "model/weights.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "base/mmap.h"
#include "model/packed_weights.h"

namespace autoglm {
namespace {

// A tensor that was copied need not be resident twice.
void forget_source(const ModelSource& source, const LocatedTensor& tensor) {
  if (!source.mapped()) return;
  for (const TensorPiece& piece : tensor.pieces) forget_pages(piece.entry->data);
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

class Loader {
 public:
  Loader(const ArchSpec& spec, const ModelSource& source, const std::vector<LocatedTensor>& tensors, Runtime& runtime,
         const LoadOptions& options)
      : spec_(spec),
        source_(source),
        tensors_(tensors),
        backend_(*runtime.backend),
        options_(options),
        packed_(source, plan_pack(tensors, backend_, options.precision), runtime, options) {
    out_.layers.resize(static_cast<size_t>(spec.layers));
  }

  ModelWeights run() {
    int64_t total = 0;
    int64_t done = 0;
    for (const LocatedTensor& tensor : tensors_) total += tensor.bytes();
    for (size_t i = 0; i < tensors_.size(); ++i) {
      load(i);
      done += tensors_[i].bytes();
      if (options_.progress && !packed_.ready()) options_.progress(done, total);
    }
    if (spec_.tied_head) out_.output = out_.embedding;
    forget_files();  // pages around what was read
    packed_.finish();
    out_.packed = packed_.memory();
    return std::move(out_);
  }

 private:
  /// Nothing of the files stays resident. What is read in place comes back when it is.
  void forget_files() const {
    for (const WeightFile& file : source_.weight_files()) forget_pages(file.bytes);
  }

  void load(size_t index) {
    const LocatedTensor& tensor = tensors_[index];
    const Role role = tensor.row->role;
    if (role == Role::token_embedding) {
      out_.embedding = matrix(index);
    } else if (role == Role::output) {
      out_.output = matrix(index);
    } else if (role == Role::output_norm) {
      out_.output_norm = norm(tensor);
    } else {
      LayerWeights& layer = out_.layers[static_cast<size_t>(tensor.layer)];
      if (Weight* weight = weight_slot(layer, role)) {
        *weight = matrix(index);
      } else if (Buffer* bias = bias_slot(layer, role)) {
        *bias = vector(tensor);
      } else {
        Norm* slot = norm_slot(layer, role);
        AUTOGLM_CHECK(slot, "a role of the tensor table has no place in LayerWeights");
        *slot = norm(tensor);
      }
    }
  }

  Weight matrix(size_t index) {
    const LocatedTensor& tensor = tensors_[index];
    const bool looked_up = tensor.row->role == Role::token_embedding;  // rows are read where they are mapped
    const bool packed = packed_.has(index);
    const bool read_in_place = looked_up || !packed;
    if (tensor.is_view()) {
      if (looked_up && (packed || !spec_.tied_head)) {
        out_.rows = EmbeddingRows(source_, tensor, backend_, options_.batch_rows);
      }
      Weight weight = matrix(index, tensor.view(), source_.mapped());
      // Rows of an embedding that are looked up come back one by one.
      if (packed && !packed_.ready()) forget_source(source_, tensor);
      return weight;
    }
    if (packed_.ready() && !read_in_place) return matrix(index, {}, false);
    const auto size = static_cast<size_t>(tensor.bytes());
    auto copy = std::make_unique_for_overwrite<std::byte[]>(size);
    tensor.copy_to(copy.get());
    forget_source(source_, tensor);
    Weight weight = matrix(index, {copy.get(), size}, false);
    if (read_in_place) out_.copies.push_back(std::move(copy));
    return weight;
  }

  /// `data`: the tensor in one piece; empty where its packed form is all that is needed.
  Weight matrix(size_t index, std::span<const std::byte> data, bool mapped) {
    const Precision precision = weight_precision(tensors_[index], spec_.tied_head, options_.precision);
    WeightSource source = weight_source(tensors_[index], data, mapped);
    if (packed_.has(index)) {
      if (!packed_.ready()) pack(source, precision, packed_.place(index));
      source.packed = packed_.packed(index);
    }
    return backend_.load(source, precision);
  }

  void pack(const WeightSource& source, Precision precision, std::span<std::byte> to) {
    const auto begin = std::chrono::steady_clock::now();
    backend_.pack(source, precision, to);
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
    out_.packing_ms = out_.packing_ms.value_or(0) + took.count();
  }

  Buffer vector(const LocatedTensor& tensor) {
    const std::vector<float> values = read_vector(spec_, source_.container(), tensor);
    Buffer buffer = backend_.make_buffer(1, tensor.shape.cols);
    backend_.write(buffer, 0, values);
    forget_files();  // up to 2 MiB around each vector, which lie all over the file, while all of a pack is here already
    return buffer;
  }

  Norm norm(const LocatedTensor& tensor) {
    const bool latent = tensor.row->role == Role::q_a_norm || tensor.row->role == Role::kv_a_norm;
    return {.weight = vector(tensor), .eps = latent ? spec_.latent_eps : spec_.norm_eps};
  }

  const ArchSpec& spec_;
  const ModelSource& source_;
  const std::vector<LocatedTensor>& tensors_;
  Backend& backend_;
  const LoadOptions& options_;
  PackedWeights packed_;
  ModelWeights out_;
};

}  // namespace

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
  const int64_t owned = backend.weight_bytes(weight_source(tensor, {}), weight_precision(tensor, tied_head, precision));
  return owned > 0 ? owned : tensor.bytes();
}

WeightBytes weight_bytes(const ModelSource& source, const std::vector<LocatedTensor>& tensors, bool tied_head,
                         const Backend& backend, Precision precision, int64_t batch_rows) {
  const PackPlan plan = plan_pack(tensors, backend, precision);
  WeightBytes out{.used = plan.bytes};
  for (size_t i = 0; i < tensors.size(); ++i) {
    const LocatedTensor& tensor = tensors[i];
    const bool packed = plan.places[i].bytes > 0;
    // Rows of an embedding are read from the file, also where its packed form serves as the head.
    const bool looked_up = tensor.row->role == Role::token_embedding;
    if (looked_up && source.mapped() && tensor.is_view() && (packed || !tied_head)) {
      out.used += EmbeddingRows::table_bytes(tensor, batch_rows);
    } else if (looked_up || !packed) {
      out.used += tensor.bytes();
    } else if (!source.mapped()) {
      out.source += tensor.bytes();
    }
  }
  return out;
}

ModelWeights load_weights(const ArchSpec& spec, const ModelSource& source, const std::vector<LocatedTensor>& tensors,
                          Runtime& runtime, const LoadOptions& options) {
  return Loader(spec, source, tensors, runtime, options).run();
}

}  // namespace autoglm
