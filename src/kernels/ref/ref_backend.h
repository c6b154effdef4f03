// The reference backend: scalar, unfused, on one thread. It is the oracle that every other backend is tested against,
// and is never chosen for a person.
//
// Every sum is taken in double and rounded to float32 once, at the end of a phase's step, so that its own error is a
// single rounding and a tolerance in a kernel test speaks of the kernel alone. What a backend *defines* to be rounded
// (activations by precision, keys and values by their type) is rounded here too: see kernels/quantize.h.
// Unlike other backends it allocates in its phases.
#pragma once

#include <memory>
#include <vector>

#include "kernels/backend.h"

namespace autoglm {

std::unique_ptr<Backend> make_ref_backend();

namespace ref {

class RefBackend final : public Backend {
 public:
  std::string_view name() const override { return "ref"; }

  // ref_memory.cpp
  int64_t weight_bytes(const WeightSource& source, Precision precision) const override;
  std::string_view pack_layout() const override { return {}; }
  std::string_view layout(const WeightSource&, Precision) const override { return "file"; }
  void pack(const WeightSource&, Precision, std::span<std::byte>) override {}
  Weight load(const WeightSource& source, Precision precision) override;
  Buffer make_buffer(int64_t rows, int64_t cols) override;
  void write(const Buffer& to, int64_t row, std::span<const float> values) override;
  void read(const Buffer& from, int64_t row, std::span<float> out) const override;
  int add_rope(const RopeSpec& spec) override;
  int64_t kv_block_bytes(std::span<const KvLayerSpec> layers) const override;
  std::unique_ptr<KvStore> make_kv(std::span<const KvLayerSpec> layers, int64_t blocks) override;
  int64_t scratch_bytes(const StepLimits& limits) const override;
  void reserve(const StepLimits& limits) override;
  void settle(bool) override {}  // vectors are taken when they are made
  void begin_step(int64_t rows, std::span<const int32_t> positions) override;

  void project(const ProjectArgs& args) override;  // ref_linear.cpp
  void project_add(const ProjectAddArgs& args) override;
  void gate_up(const GateUpArgs& args) override;
  void attention(const AttentionArgs& args) override;               // ref_attention.cpp
  void latent_attention(const LatentAttentionArgs& args) override;  // ref_latent.cpp
  void experts(const ExpertsArgs& args) override;                   // ref_experts.cpp
  void embed(const EmbedArgs& args) override;                       // ref_head.cpp
  void head(const HeadArgs& args) override;
  void keep_rows(const KeepRowsArgs& args) override;

 private:
  /// Rotates the first spec.dims values of one head of batch row `row`.
  void rotate(int rope, int64_t row, float* values) const;

  std::vector<RopeSpec> ropes_;
  int64_t rows_ = 0;
  std::vector<int32_t> positions_;  // [1 or 3][rows_]
};

}  // namespace ref
}  // namespace autoglm
