// A backend that lets its phases be watched: what calibration needs from the layer loop, without a hook in it.
//
// `forward_layers` speaks to a Backend in phases on handles, and every linear map is named there with the buffer it
// reads. So the one seam that exists already is enough: this backend hands each phase to another one and reads the
// input rows of every linear map on the way, the norm before it applied. A hook inside `forward` or inside the real
// backends would cost them a branch a phase and would have to be kept true in each; here inference does not know of it.
#pragma once

#include <functional>
#include <vector>

#include "kernels/backend.h"

namespace autoglm {

class Observer final : public Backend {
 public:
  /// `phase`: the how-manieth set of linear maps of this step; `weights`: those that read the rows; `rows`: their
  /// input, valid during the call.
  using Watch = std::function<void(int phase, std::span<const Weight* const> weights, std::span<const float> rows)>;

  explicit Observer(Backend& inner) : inner_(inner) {}

  /// From the next step on: calls watch for phase `only` (-1: for every one). With `stop`, nothing is computed from
  /// that phase on: the step's results are then undefined.
  void observe(Watch watch, int only, bool stop);
  /// Phases of the last step that was not stopped.
  int phases() const { return phase_; }

  std::string_view name() const override { return inner_.name(); }
  int64_t weight_bytes(const WeightSource& s, Precision p) const override { return inner_.weight_bytes(s, p); }
  std::string_view pack_layout() const override { return inner_.pack_layout(); }
  std::string_view layout(const WeightSource& s, Precision p) const override { return inner_.layout(s, p); }
  void pack(const WeightSource& s, Precision p, std::span<std::byte> out) override { inner_.pack(s, p, out); }
  Weight load(const WeightSource& s, Precision p) override { return inner_.load(s, p); }
  int64_t row_tile() const override { return inner_.row_tile(); }
  Buffer make_buffer(int64_t rows, int64_t cols) override { return inner_.make_buffer(rows, cols); }
  void write(const Buffer& to, int64_t row, std::span<const float> values) override { inner_.write(to, row, values); }
  void read(const Buffer& from, int64_t row, std::span<float> out) const override { inner_.read(from, row, out); }
  int add_rope(const RopeSpec& spec) override { return inner_.add_rope(spec); }
  int64_t kv_block_bytes(std::span<const KvLayerSpec> layers) const override { return inner_.kv_block_bytes(layers); }
  std::unique_ptr<KvStore> make_kv(std::span<const KvLayerSpec> layers, int64_t blocks) override {
    return inner_.make_kv(layers, blocks);
  }
  int64_t scratch_bytes(const StepLimits& limits) const override { return inner_.scratch_bytes(limits); }
  void reserve(const StepLimits& limits) override { inner_.reserve(limits); }
  void settle(bool wait) override { inner_.settle(wait); }

  void begin_step(int64_t rows, std::span<const int32_t> positions) override;
  void embed(const EmbedArgs& args) override;
  void project(const ProjectArgs& args) override;
  void attention(const AttentionArgs& args) override;
  void latent_attention(const LatentAttentionArgs& args) override;
  void keep_rows(const KeepRowsArgs& args) override;
  void project_add(const ProjectAddArgs& args) override;
  void gate_up(const GateUpArgs& args) override;
  void experts(const ExpertsArgs& args) override;
  void head(const HeadArgs& args) override;

 private:
  /// Counts a phase and watches it. False: the phase is not to be computed.
  bool enter(const Buffer& x, int64_t rows, int64_t offset, int64_t cols, const Norm* norm,
             std::vector<const Weight*> weights);

  Backend& inner_;
  Watch watch_;
  int only_ = -1;
  bool stop_ = false;
  int phase_ = 0;
  bool stopped_ = false;
  std::vector<float> rows_;
  std::vector<float> slice_;
};

/// Norm as backends compute it, in place over rows of `cols` values.
void apply_norm(std::span<float> rows, std::span<const float> weight, float eps);

}  // namespace autoglm
