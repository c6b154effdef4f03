// Texts through single layers of a model: what calibration and the measuring of sensitivity both do.
//
// Matrices are computed as BF16 whatever type they are stored in: calibration only averages over what comes out, so a
// relative error of 2^-9 is far below that of any type worth measuring, and it is many times faster than the exact
// path. Several windows make a batch, so that a layer's weights are read once for all of them.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <vector>

#include "compress/observer.h"
#include "format/model_source.h"
#include "model/activations.h"
#include "model/runtime.h"
#include "model/tensor_table.h"
#include "model/weights.h"

namespace autoglm {

/// A tensor in another type: rows in the source's order.
struct EncodedTensor {
  Type type = Type::f32;
  std::vector<std::byte> bytes;
  /// What its columns were multiplied by (ChannelScales::columns); who computes with it divides by them, since its
  /// inputs are not scaled. Empty: nothing.
  std::vector<float> columns{};
};

/// A layer that can be run, as layer 0 of a model of its own.
struct RunnableLayer {
  int index = 0;
  ArchSpec spec;
  ModelWeights weights;
  Activations activations;
  std::unique_ptr<KvStore> kv;
  std::map<const Weight*, const LocatedTensor*> tensors;   // matrices by their place in `weights`
  std::map<const Weight*, std::vector<std::byte>> copies;  // of those that the backend reads in place
};

/// A matrix in a backend's form.
struct LoadedMatrix {
  Weight weight;
  std::vector<std::byte> copy;  // what the weight reads; empty where that is the backend's own or the caller's
};

class LayerRunner {
 public:
  /// `windows`: tokens, each window read from an empty cache. Errors: those of reading a model.
  LayerRunner(const ModelSource& source, Runtime& runtime, std::span<const std::vector<int32_t>> windows);

  const ArchSpec& spec() const { return spec_; }
  const std::vector<LocatedTensor>& tensors() const { return tensors_; }
  const LocatedTensor* find(Role role) const;  // of no layer; null where the family has none
  Observer& observer() { return observer_; }

  int batches() const { return static_cast<int>(std::ssize(batches_)); }
  int64_t rows(int batch) const { return std::ssize(batches_[static_cast<size_t>(batch)].tokens); }
  /// Rows of a batch before the first layer; `table`: instead of the source's embedding, or null.
  std::vector<float> embed(int batch, const EncodedTensor* table) const;

  RunnableLayer load(int index);
  /// From now on the layer computes with this, which is to outlive it, instead of that tensor of its own.
  void replace(RunnableLayer& layer, const LocatedTensor& tensor, const EncodedTensor& encoded);
  void restore(RunnableLayer& layer, const LocatedTensor& tensor) { put(layer, tensor, load_matrix(tensor)); }
  /// A batch through the layer. `rows` becomes what comes out, if `keep`.
  void step(RunnableLayer& layer, int batch, std::span<float> rows, bool keep);
  /// One row of zeros through the layer, for who only wants to know its phases.
  void trial(RunnableLayer& layer);

  /// The matrix as BF16. `data` is to outlive it. `columns`: as EncodedTensor.
  LoadedMatrix load_matrix(const LocatedTensor& tensor, Type type, std::span<const std::byte> data,
                           const std::vector<float>& columns = {});
  /// The source's own.
  LoadedMatrix load_matrix(const LocatedTensor& tensor);

 private:
  struct Batch {
    std::vector<int32_t> tokens;
    std::vector<int32_t> positions;
    std::vector<std::vector<int32_t>> blocks;  // of the windows
    std::vector<KvSegment> segments;
  };
  void run(RunnableLayer& layer, const Batch& batch);
  static void put(RunnableLayer& layer, const LocatedTensor& tensor, LoadedMatrix matrix);

  const ModelSource& source_;
  Runtime& runtime_;
  ArchSpec spec_;
  std::vector<LocatedTensor> tensors_;
  Observer observer_;
  std::vector<Batch> batches_;
  Batch trial_;
  int64_t most_rows_ = 0;
  int64_t most_blocks_ = 0;
  std::vector<int> ropes_;
};

}  // namespace autoglm
