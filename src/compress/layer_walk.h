// Runs a model over texts one layer at a time, every text through a layer before the next layer is looked at. So only
// one layer's weights are in use, and a layer's inputs come from layers that may have been changed already.
#pragma once

#include <functional>
#include <vector>

#include "compress/layer_runner.h"
#include "compress/moments.h"

namespace autoglm {

/// Linear maps that read the same input.
struct MapGroup {
  int layer = -1;  // -1: the head
  std::vector<const LocatedTensor*> tensors;
};

/// Gives the tensor that later maps are to be computed with instead of the source's own, or null for that one. Stays
/// valid until the layer is done.
using Replacement = std::function<const EncodedTensor*(const LocatedTensor&)>;

struct WalkOptions {
  std::vector<std::vector<int32_t>> windows;  // tokens; each is read from an empty cache
  /// Collect full products for this group, or only squares.
  std::function<bool(const MapGroup&)> full;
  /// Called once a group's inputs are known, groups in the order of the layer loop, the head last. The result replaces
  /// tensors of this group before the inputs of the next are collected, if `replaces`.
  std::function<void(const MapGroup&, const Moments&)> visit;
  /// Groups whose inputs need not be collected: their replacements are there. May be empty. Each is told to resumed().
  std::function<bool(const MapGroup&)> known;
  std::function<void(const MapGroup&)> resumed;
  /// Tensors of a layer whose inputs cannot be seen (experts' second maps, the heads of MLA), before all its groups.
  std::function<void(const std::vector<const LocatedTensor*>&)> unseen;
  bool replaces = false;
  Replacement replacement;
  std::function<void(int layer)> begin_layer;  // may be empty
  std::function<void()> check;                 // between windows; may throw
};

class LayerWalk {
 public:
  /// Errors: those of reading a model.
  LayerWalk(const ModelSource& source, Runtime& runtime, const WalkOptions& options);
  void run();

 private:
  void run_layer(int index);
  std::vector<MapGroup> find_groups(RunnableLayer& layer);
  void collect(RunnableLayer& layer, const std::vector<MapGroup>& groups, int phase);
  void replace(RunnableLayer& layer, const std::vector<const LocatedTensor*>& tensors);
  void step(RunnableLayer& layer, int batch, bool keep);
  void run_head();

  const ModelSource& source_;
  Runtime& runtime_;
  const WalkOptions& options_;
  LayerRunner runner_;
  std::vector<std::vector<float>> residuals_;  // a batch's rows after the layers so far
};

/// The sets of maps of a layer, in the order of its phases. `unseen`: matrices whose inputs cannot be seen.
std::vector<MapGroup> map_groups(LayerRunner& runner, RunnableLayer& layer, std::vector<const LocatedTensor*>& unseen);

/// The set of the head: the output matrix, or the embedding that serves as one.
MapGroup head_group(const LayerRunner& runner);

}  // namespace autoglm
