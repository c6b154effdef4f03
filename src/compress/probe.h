// The divergence that single sets of linear maps cost when they are rounded, all of them in one way through the layers.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "compress/layer_walk.h"

namespace autoglm {

/// A set of maps, with what is known of their input: mean squares, one a column, and coarse_rounding() (moments.h);
/// both empty for a table that is looked up.
struct ProbeGroup {
  MapGroup maps;
  std::vector<float> importance;
  std::vector<float> coarse;
};

class Probe {
 public:
  /// Bytes for states of variants that are kept at a time.
  static constexpr int64_t kRoom = 512ll << 20;

  /// Reads eight of the windows, spread over all, up to 64 tokens of each. Errors: those of reading a model.
  Probe(const ModelSource& source, Runtime& runtime, std::span<const std::vector<int32_t>> windows,
        std::function<void()> check, int64_t room = kRoom);

  /// How many of a window's tokens are scored: the last ones.
  static int64_t scored_of(int64_t tokens);

  /// The untouched model; afterwards groups() are known: the embedding (layer -1), those of the layers in their order,
  /// and the head if it has a tensor of its own (layer: how many there are).
  void baseline();
  const std::vector<ProbeGroup>& groups() const { return groups_; }
  const LayerRunner& runner() const { return runner_; }

  /// One tensor of a group in another type.
  using Encode = std::function<EncodedTensor(const LocatedTensor&, const std::vector<float>& importance)>;
  /// Mean divergence in nats a token of the answers with one group encoded, for each of `wanted`, in rising order;
  /// `done` is told each as soon as it is known. Error numeric.
  void measure(std::span<const size_t> wanted, const Encode& encode,
               const std::function<void(size_t group, double divergence)>& done);

 private:
  struct Variant {
    size_t group = 0;
    std::vector<float> rows;
  };
  size_t round_of(std::span<const size_t> wanted) const;
  void measure_round(std::span<const size_t> wanted, const Encode& encode, std::vector<Variant>& variants);
  void step(RunnableLayer& layer, std::vector<float>& rows);
  Variant altered(RunnableLayer& layer, size_t group, const Encode& encode, const std::vector<float>& before);
  void load_head(const EncodedTensor* encoded);
  /// Logits of the scored rows into logits_.
  void read_logits(std::span<const float> rows);
  double divergence();

  const ModelSource& source_;
  Runtime& runtime_;
  std::function<void()> check_;
  int64_t room_;
  std::vector<std::vector<int32_t>> windows_;
  LayerRunner runner_;
  std::vector<int32_t> scored_;
  std::vector<int32_t> positions_;
  std::vector<ProbeGroup> groups_;
  std::vector<float> base_;  // rows of the untouched model before layer base_layer_
  int base_layer_ = 0;
  Activations activations_;
  Norm output_norm_;
  LoadedMatrix head_;
  std::vector<float> logits_;
  std::vector<float> expected_;      // probabilities by the untouched model
  std::vector<double> information_;  // sum of p log p, of each scored row
};

}  // namespace autoglm
