#include "model/arch_spec.h"

#include <cmath>
#include <numbers>

#include "base/error.h"

namespace autoglm {

void fill_layers(ArchSpec& spec, int heads, int kv_heads, int head_dim, int64_t ffn) {
  const auto n = static_cast<size_t>(spec.layers);
  spec.heads.assign(n, heads);
  spec.kv_heads.assign(n, kv_heads);
  spec.head_dim.assign(n, head_dim);
  spec.ffn.assign(n, ffn);
  spec.window.assign(n, 0);
  spec.rope.assign(n, 0);
}

RopeSpec make_rope(const RopeOrigin& origin, int dims, bool interleaved) {
  RopeSpec rope;
  rope.dims = dims;
  rope.interleaved = interleaved;
  rope.inv_freq.resize(static_cast<size_t>(dims / 2));
  for (size_t i = 0; i < rope.inv_freq.size(); ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(dims);
    float frequency = 1.0f / std::pow(static_cast<float>(origin.theta), exponent);
    frequency /= static_cast<float>(origin.linear_factor);
    if (!origin.divisors.empty()) frequency /= origin.divisors[i];
    rope.inv_freq[i] = frequency;
  }
  return rope;
}

std::vector<float> llama3_divisors(double theta, int dims, double factor, double low, double high, double old_context) {
  std::vector<float> out;
  for (int i = 0; i < dims; i += 2) {
    const double frequency = 1.0 / std::pow(theta, static_cast<double>(i) / dims);
    const double wavelength = 2 * std::numbers::pi / frequency;
    double divisor = 1.0;
    if (wavelength > old_context / low) {
      divisor = factor;
    } else if (wavelength >= old_context / high) {
      const double smooth = (old_context / wavelength - low) / (high - low);
      divisor = 1.0 / ((1 - smooth) / factor + smooth);
    }
    out.push_back(static_cast<float>(divisor));
  }
  return out;
}

namespace {

void require(bool condition, const ArchSpec& spec, const std::string& what) {
  if (!condition) {
    fail(Code::bad_model_file, "the configuration of this " + spec.architecture + " model is not usable: " + what,
         "the file may be damaged");
  }
}

// Limits that no real model comes near, so that products of these numbers stay far from overflow.
constexpr int64_t kMaxWidth = 1 << 20;
constexpr int64_t kMaxVocabulary = 1 << 24;
constexpr int kMaxLayers = 4096;
constexpr int kMaxHeads = 1 << 14;
constexpr int kMaxHeadDim = 1 << 13;
constexpr int kMaxExperts = 1 << 14;
constexpr int64_t kMaxContext = INT32_MAX;       // positions are 32 bits
constexpr int64_t kMaxStack = int64_t{1} << 44;  // values of all experts of a layer

bool within(int64_t value, int64_t low, int64_t high) { return value >= low && value <= high; }
std::string by(const std::string& what, int64_t value) { return what + " is " + std::to_string(value); }

void check_layer(const ArchSpec& s, size_t i) {
  const std::string at = " in layer " + std::to_string(i);
  require(within(s.heads[i], 1, kMaxHeads), s, by("head count", s.heads[i]) + at);
  require(within(s.kv_heads[i], 1, s.heads[i]) && s.heads[i] % s.kv_heads[i] == 0, s,
          by("KV head count", s.kv_heads[i]) + ", which does not divide " + std::to_string(s.heads[i]) + at);
  require(within(s.head_dim[i], 1, kMaxHeadDim), s, by("head dimension", s.head_dim[i]) + at);
  require(s.window[i] >= 0, s, by("attention window", s.window[i]) + at);
  require(s.is_moe(static_cast<int>(i)) || within(s.ffn[i], 1, kMaxWidth), s, by("feed-forward width", s.ffn[i]) + at);
  require(within(s.rope[i], -1, static_cast<int64_t>(s.ropes.size()) - 1), s, "rope number" + at);
  if (s.rope[i] < 0) return;
  const RopeSpec& rope = s.ropes[static_cast<size_t>(s.rope[i])];
  const int most = s.latent() ? s.rope_dim : s.head_dim[i];
  require(within(rope.dims, 2, most) && rope.dims % 2 == 0, s, by("rotary dimension", rope.dims) + at);
  require(rope.inv_freq.size() == static_cast<size_t>(rope.dims / 2), s, "rotary frequencies" + at);
  for (float f : rope.inv_freq) require(std::isfinite(f), s, "rotary frequencies are not finite");
}

void check_moe(const ArchSpec& s) {
  require(s.moe.size() == static_cast<size_t>(s.layers), s, "list of expert layers");
  const RouterSpec& r = s.router;
  require(within(r.experts, 1, kMaxExperts), s, by("expert count", r.experts));
  require(within(r.top_k, 1, r.experts), s, by("experts used", r.top_k));
  require(within(r.groups, 1, r.experts) && r.experts % r.groups == 0, s, by("expert group count", r.groups));
  require(within(r.groups_used, 1, r.groups), s, by("expert groups used", r.groups_used));
  require(r.groups == 1 || r.experts / r.groups >= 2, s, "an expert group has fewer than two experts");
  require(r.top_k <= r.groups_used * (r.experts / r.groups), s, "more experts used than the chosen groups have");
  require(std::isfinite(r.scale), s, "expert scale is not finite");
  require(within(s.expert_ffn, 1, kMaxWidth), s, by("expert width", s.expert_ffn));
  require(within(s.shared_ffn, 0, kMaxWidth), s, by("shared expert width", s.shared_ffn));
  require(r.experts * s.expert_ffn <= kMaxStack / s.hidden, s, "its experts are too large");
}

}  // namespace

void check_spec(const ArchSpec& s) {
  require(within(s.layers, 1, kMaxLayers), s, by("layer count", s.layers));
  require(within(s.mtp_layers, 0, kMaxLayers), s, by("MTP layer count", s.mtp_layers));
  require(within(s.hidden, 1, kMaxWidth), s, by("hidden size", s.hidden));
  require(within(s.vocabulary, 1, kMaxVocabulary), s, by("vocabulary", s.vocabulary));
  require(within(s.train_context, 1, kMaxContext), s, by("context length", s.train_context));
  require(std::isfinite(s.norm_eps) && s.norm_eps >= 0, s, "norm epsilon");
  require(std::isfinite(s.attention_scale) && s.attention_scale > 0, s, "attention scale");
  require(std::isfinite(s.embed_scale) && std::isfinite(s.logit_softcap) && std::isfinite(s.attention_softcap), s,
          "a scale or soft cap is not finite");
  const auto n = static_cast<size_t>(s.layers);
  for (size_t size :
       {s.heads.size(), s.kv_heads.size(), s.head_dim.size(), s.ffn.size(), s.window.size(), s.rope.size()}) {
    require(size == n, s, "a list by layer has another length than the layer count");
  }
  if (s.latent()) {
    for (int dim : {s.kv_rank, s.nope_dim, s.rope_dim, s.value_dim}) {
      require(within(dim, 1, kMaxHeadDim), s, by("a latent attention dimension", dim));
    }
    require(within(s.q_rank, 0, kMaxWidth), s, by("query rank", s.q_rank));
  }
  if (!s.moe.empty()) check_moe(s);
  for (size_t i = 0; i < n; ++i) check_layer(s, i);
}

}  // namespace autoglm
