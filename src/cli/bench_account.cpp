#include "cli/bench_account.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "format/type.h"
#include "model/memory_plan.h"
#include "model/tensor_table.h"
#include "model/weights.h"

namespace autoglm {
namespace {

constexpr double kNoticeable = 0.01;  // a smaller part of the work does not change a roof's name

double kv_bytes(const ArchSpec& spec, const Backend& backend, KvType type, const BenchShape& shape) {
  const std::vector<KvLayerSpec> layers = kv_layers(spec, type);
  double sum = 0;
  for (size_t layer = 0; layer < layers.size(); ++layer) {
    const auto token = static_cast<double>(backend.kv_block_bytes({&layers[layer], 1})) / kKvBlock;
    sum += token * tokens_read(spec.window[layer], shape.depth, shape.gen);
  }
  return sum * static_cast<double>(shape.batch);
}

bool one_of_many(Role role) {
  return role == Role::expert_gate || role == Role::expert_up || role == Role::expert_down;
}

}  // namespace

double experts_read(int top_k, int experts, int64_t tokens) {
  if (experts <= 0) return 1.0;
  return 1.0 - std::pow(1.0 - static_cast<double>(top_k) / experts, static_cast<double>(tokens));
}

double tokens_read(int64_t window, int64_t depth, int64_t steps) {
  if (steps <= 0) return 0;
  double sum = 0;
  for (int64_t step = 1; step <= steps; ++step) {
    sum += static_cast<double>(window > 0 ? std::min(window, depth + step) : depth + step);
  }
  return sum / static_cast<double>(steps);
}

StepBytes step_bytes(const ArchSpec& spec, const ModelSource& source, const Backend& backend, Precision precision,
                     KvType kv_type, const BenchShape& shape) {
  StepBytes out;
  for (const LocatedTensor& tensor : locate_tensors(spec, source)) {
    if (tensor.row->form != Form::matrix) continue;
    if (tensor.row->role == Role::token_embedding && !spec.tied_head) continue;  // one row a token
    const double share =
        one_of_many(tensor.row->role) ? experts_read(spec.router.top_k, spec.router.experts, shape.batch) : 1.0;
    const auto loaded = static_cast<double>(loaded_bytes(tensor, backend, spec.tied_head, precision));
    out.weights += share * loaded;
    out.resident += loaded;
    out.file += share * static_cast<double>(tensor.bytes());
  }
  out.kv = kv_bytes(spec, backend, kv_type, shape);
  return out;
}

Arithmetic arithmetic_of(const ArchSpec& spec, const ModelSource& source, Precision precision) {
  Arithmetic mix;
  for (const LocatedTensor& tensor : locate_tensors(spec, source)) {
    const Role role = tensor.row->role;
    if (tensor.row->form != Form::matrix || tensor.layer < 0 || role == Role::router) continue;
    const double used = one_of_many(role) ? experts_read(spec.router.top_k, spec.router.experts, 1) : 1.0;
    const double weights = used * static_cast<double>(tensor.shape.elements());
    const bool exact = precision == Precision::f32 || tensor.type == Type::f32;
    (exact ? mix.f32 : info(tensor.type).quantized ? mix.int8 : mix.bf16) += weights;
  }
  const double all = mix.int8 + mix.bf16 + mix.f32;
  if (all > 0) {
    for (double* part : std::array{&mix.int8, &mix.bf16, &mix.f32}) *part /= all;
  }
  return mix;
}

double prefill_gops(const TokenWork& work, int64_t prompt, double tokens_per_second) {
  if (prompt <= 0) return 0;
  const auto tokens = static_cast<double>(prompt);
  return 2 * work.products(tokens, 1) / tokens * tokens_per_second / 1e9;
}

double decode_gbps(const StepBytes& bytes, int64_t batch, double tokens_per_second) {
  return (bytes.weights + bytes.kv) * tokens_per_second / static_cast<double>(batch) / 1e9;
}

double arithmetic_roof(const Arithmetic& mix, const Roofs& roofs) {
  if (mix.f32 > kNoticeable || mix.int8 + mix.bf16 <= 0) return 0;
  const double whole = mix.int8 + mix.bf16;
  if (roofs.int8_gops <= 0 || roofs.bf16_gops <= 0) return 0;
  return whole / (mix.int8 / roofs.int8_gops + mix.bf16 / roofs.bf16_gops);
}

std::string_view roof_name(const Arithmetic& mix) {
  if (mix.f32 > kNoticeable) return "none";
  if (mix.bf16 <= kNoticeable) return "int8";
  return mix.int8 <= kNoticeable ? "bf16" : "int8 and bf16";
}

double read_roof(double huge_share, const Roofs& roofs) {
  if (roofs.read_gbps_small <= 0 || roofs.read_gbps_huge <= 0) return 0;
  return 1 / (huge_share / roofs.read_gbps_huge + (1 - huge_share) / roofs.read_gbps_small);
}

std::string_view page_kind(double huge_share) {
  if (huge_share >= 0.9) return "huge";
  return huge_share <= 0.1 ? "small" : "mixed";
}

}  // namespace autoglm
