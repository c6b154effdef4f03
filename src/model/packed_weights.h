// The packed forms of all of a model's tensors, in one block of memory: made here, or read from a pack.
//
// One block, because huge pages need it (a tensor alone is often smaller than one), because a pack is then its bytes as
// they are, and because pieces of one size share out the reading evenly.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/pages.h"
#include "format/pack_cache.h"
#include "kernels/backend.h"
#include "model/model.h"
#include "model/tensor_table.h"

namespace autoglm {

/// What a backend is told of a tensor. `data` is empty where only sizes are asked for.
WeightSource weight_source(const LocatedTensor& tensor, std::span<const std::byte> data, bool mapped = false);

/// The precision that a tensor is loaded with: routers always exact, and an embedding that is not also the head too,
/// which lets it be read where it is mapped.
Precision weight_precision(const LocatedTensor& tensor, bool tied_head, Precision precision);

/// A tensor's place in the block.
struct PackedPlace {
  int64_t offset = 0;
  int64_t bytes = 0;  // 0: not packed
};

/// Of what stands before the tensors in each of a model's files: names, shapes and places, and all other metadata.
Hash128 hash_of_headers(const ModelSource& source);

struct PackPlan {
  std::vector<PackedPlace> places;  // one a tensor
  std::vector<PackSegment> segments;
  int64_t bytes = 0;  // of the block
};

PackPlan plan_pack(const std::vector<LocatedTensor>& tensors, const Backend& backend, Precision precision);

class PackedWeights {
 public:
  PackedWeights(const ModelSource& source, PackPlan plan, Runtime& runtime, const LoadOptions& options);

  /// Whether the packed forms are here already. If not, every one has to be made in its place(), and then finish().
  bool ready() const { return ready_; }
  /// Whether a tensor has a packed form; otherwise it is read where it is mapped.
  bool has(size_t tensor) const { return plan_.places[tensor].bytes > 0; }
  std::span<std::byte> place(size_t tensor);
  std::span<const std::byte> packed(size_t tensor) const;
  /// All is packed: the cache may keep it.
  void finish();
  /// Holds the block.
  std::shared_ptr<const void> memory() const { return memory_; }

 private:
  bool take(const PackFile& file);
  bool read(const PackFile& file);
  bool map(const PackFile& file);
  void make_block();
  /// Calls good() for every piece of the pack on all workers; false once one was not.
  bool for_all_pieces(const std::function<bool(int64_t piece)>& good);

  PackPlan plan_;
  Runtime& runtime_;
  const LoadOptions& options_;
  PackHeader header_;  // an empty layout: nothing that a cache could keep
  bool ready_ = false;
  std::byte* block_ = nullptr;       // to be filled
  const std::byte* data_ = nullptr;  // the same, or the mapped pack
  std::shared_ptr<const void> memory_;
};

}  // namespace autoglm
