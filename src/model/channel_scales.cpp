#include "model/channel_scales.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace autoglm {
namespace {

// Query heads that share a KV head read the same channels of v.
int64_t value_channel(const ArchSpec& spec, int layer, int64_t column) {
  const auto l = static_cast<size_t>(layer);
  const int64_t head = column / spec.head_dim[l];
  return head / (spec.heads[l] / spec.kv_heads[l]) * spec.head_dim[l] + column % spec.head_dim[l];
}

constexpr Role kAttentionNorm[] = {Role::attention_norm};
constexpr Role kAttentionIn[] = {Role::q, Role::k, Role::v, Role::q_a, Role::kv_a};
constexpr Role kLatentQueryNorm[] = {Role::q_a_norm};
constexpr Role kLatentQueryIn[] = {Role::q_b};
constexpr Role kValue[] = {Role::v, Role::v_bias};
constexpr Role kLatentValue[] = {Role::v_b};
constexpr Role kAttentionOut[] = {Role::attention_output};
constexpr Role kFfnNorm[] = {Role::ffn_norm};
constexpr Role kFfnIn[] = {Role::gate,      Role::up,          Role::router,   Role::expert_gate,
                           Role::expert_up, Role::shared_gate, Role::shared_up};
constexpr Role kUp[] = {Role::up, Role::up_bias};
constexpr Role kDown[] = {Role::down};
constexpr Role kExpertUp[] = {Role::expert_up};
constexpr Role kExpertDown[] = {Role::expert_down};
constexpr Role kSharedUp[] = {Role::shared_up};
constexpr Role kSharedDown[] = {Role::shared_down};
constexpr Role kOutputNorm[] = {Role::output_norm};
constexpr Role kOutput[] = {Role::output};  // a tied head is the embedding, which reads tokens too

// Left out: the norm of MLA's KV latent, whose readers' inputs calibration does not see.
constexpr ScaleSite kSites[] = {
    {"attn_norm", kAttentionNorm, kAttentionIn},
    {"attn_q_a_norm", kLatentQueryNorm, kLatentQueryIn},
    {"attn_v", kValue, kAttentionOut, value_channel},
    {"attn_v_b", kLatentValue,
     kAttentionOut},  // a value of head h in its row h * value_dim + i, as the output reads it
    {"ffn_norm", kFfnNorm, kFfnIn},
    {"ffn_up", kUp, kDown},
    {"ffn_up_exps", kExpertUp, kExpertDown},
    {"ffn_up_shexp", kSharedUp, kSharedDown},
    {"output_norm", kOutputNorm, kOutput},
};

// None where this layer has no such tensor; a tensor outside the layers has the layer -1.
TensorShape shape_of(const ArchSpec& spec, Role role, int layer) {
  const bool outside = role <= Role::rope_factors;
  if (outside != (layer < 0)) return {};
  return tensor_row(role).shape(spec, layer);
}

ScaledChannels find(const ArchSpec& spec, const ScaleSite& site, int layer) {
  ScaledChannels out{.site = &site, .layer = layer};
  const TensorShape writer = shape_of(spec, site.writers.front(), layer);
  if (writer.none()) return out;
  for (const Role role : site.readers) {
    const TensorShape reader = shape_of(spec, role, layer);
    if (reader.none()) continue;
    const bool vector = tensor_row(site.writers.front()).form != Form::matrix;
    out.sets = std::min(writer.count, reader.count);
    out.channels = (vector ? writer.cols : writer.count * writer.rows) / out.sets;
    break;
  }
  return out;
}

}  // namespace

std::span<const ScaleSite> scale_sites() { return kSites; }

std::string ScaledChannels::name() const {
  return layer < 0 ? std::string(site->word) : "blk." + std::to_string(layer) + "." + std::string(site->word);
}

std::vector<ScaledChannels> scaled_channels(const ArchSpec& spec) {
  std::vector<ScaledChannels> out;
  for (int i = 0; i <= spec.layers; ++i) {
    for (const ScaleSite& site : kSites) {
      const ScaledChannels channels = find(spec, site, i < spec.layers ? i : -1);
      if (channels.channels > 0) out.push_back(channels);
    }
  }
  return out;
}

std::optional<ScaledChannels> channels_read_by(const ArchSpec& spec, Role role, int layer) {
  for (const ScaleSite& site : kSites) {
    if (std::ranges::find(site.readers, role) == site.readers.end()) continue;
    const ScaledChannels channels = find(spec, site, layer);
    if (channels.channels > 0 && !shape_of(spec, role, layer).none()) return channels;
  }
  return std::nullopt;
}

void ChannelScales::set(const ScaledChannels& channels, std::vector<float> scales) {
  AUTOGLM_CHECK(std::ssize(scales) == channels.values(), "a scale a channel");
  for (const float scale : scales) AUTOGLM_CHECK(scale > 0 && std::isfinite(1 / scale), "scales are above 0");
  scales_[{channels.site, channels.layer}] = std::move(scales);
}

const std::vector<float>* ChannelScales::find(const ScaleSite& site, int layer) const {
  const auto found = scales_.find({&site, layer});
  return found == scales_.end() ? nullptr : &found->second;
}

std::vector<float> ChannelScales::columns(const LocatedTensor& tensor) const {
  const auto channels = channels_read_by(*spec_, tensor.row->role, tensor.layer);
  const std::vector<float>* scales = channels ? find(*channels->site, tensor.layer) : nullptr;
  if (!scales) return {};
  const int64_t cols = tensor.shape.cols;
  std::vector<float> out(static_cast<size_t>(channels->sets * cols));
  for (int64_t i = 0; i < std::ssize(out); ++i) {
    const auto& channel = channels->site->channel;
    const int64_t of_set = channel ? channel(*spec_, tensor.layer, i % cols) : i % cols;
    out[static_cast<size_t>(i)] = (*scales)[static_cast<size_t>(i / cols * channels->channels + of_set)];
  }
  return out;
}

std::vector<float> ChannelScales::rows(const LocatedTensor& tensor) const {
  for (const ScaleSite& site : kSites) {
    if (std::ranges::find(site.writers, tensor.row->role) == site.writers.end()) continue;
    const std::vector<float>* scales = find(site, tensor.layer);
    if (!scales) continue;
    std::vector<float> out(*scales);
    for (float& scale : out) scale = 1.0f / scale;
    return out;
  }
  return {};
}

std::span<const float> TensorScales::columns_of(const TensorShape& shape, int64_t row) const {
  const bool own = std::ssize(columns) > shape.cols;
  const std::span<const float> all(columns);
  return own ? all.subspan(static_cast<size_t>(row / shape.rows * shape.cols), static_cast<size_t>(shape.cols)) : all;
}

void TensorScales::apply(const LocatedTensor& tensor, int64_t row, std::span<float> values) const {
  const bool vector = tensor.row->form != Form::matrix;
  if (!columns.empty()) {
    const std::span<const float> factors = columns_of(tensor.shape, row);
    for (size_t i = 0; i < values.size(); ++i) values[i] *= factors[i];
  }
  if (rows.empty()) return;
  for (size_t i = 0; i < values.size(); ++i) values[i] *= rows[vector ? i : static_cast<size_t>(row)];
}

}  // namespace autoglm
