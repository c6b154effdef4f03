#include "engine/sampler.h"

#include <algorithm>
#include <bit>
#include <cfloat>
#include <cmath>
#include <functional>
#include <numeric>
#include <random>

namespace autoglm {
namespace {

constexpr float kBucketsPerNat = 16.0f;
constexpr float kMaskedOut = -FLT_MAX;  // of tokens that a grammar does not allow: finite, and of no weight
constexpr int64_t kFewAllowed = 4096;   // tokens that are looked at one by one

struct Scan {
  float best = 0.0f;
  bool finite = true;
};

// Also fills maxima[b], the largest of the logits from b * kBlock on. Eight running maxima, so that the compiler can
// use vector registers.
template <size_t kBlock>
Scan scan(std::span<const float> logits, std::span<float> maxima) {
  constexpr size_t kLanes = 8;
  static_assert(kBlock % kLanes == 0);
  std::array<float, kLanes> best;
  uint32_t largest_bits = 0;
  Scan result{.best = -INFINITY};
  for (size_t block = 0; block < maxima.size(); ++block) {
    best.fill(-INFINITY);
    size_t i = block * kBlock;
    const size_t end = std::min(i + kBlock, logits.size());
    for (; i + kLanes <= end; i += kLanes) {
      for (size_t j = 0; j < kLanes; ++j) {
        const float value = logits[i + j];
        best[j] = value > best[j] ? value : best[j];
        largest_bits = std::max(largest_bits, std::bit_cast<uint32_t>(value) & 0x7fffffffU);
      }
    }
    for (; i < end; ++i) {
      best[0] = std::max(best[0], logits[i]);
      largest_bits = std::max(largest_bits, std::bit_cast<uint32_t>(logits[i]) & 0x7fffffffU);
    }
    maxima[block] = *std::max_element(best.begin(), best.end());
    result.best = std::max(result.best, maxima[block]);
  }
  result.finite = largest_bits < 0x7f800000U;
  return result;
}

// e^x for x <= 0, relative error below 3e-7: 2^n times a polynomial of the rest (Cody and Waite). Written here so that
// every C library gives the same bits and the compiler can vectorize it. Below e^-87 it is 0.
float exp_negative(float x) {
  const float clamped = x < -87.0f ? -87.0f : x;
  const float n = static_cast<float>(static_cast<int32_t>(clamped * 1.44269504f - 0.5f));
  const float r = (clamped - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const float scale = std::bit_cast<float>((static_cast<int32_t>(n) + 127) << 23);
  return x < -87.0f ? 0.0f : p * scale;
}

void log_probabilities(std::span<const float> logits, float best, int32_t chosen, int count,
                       std::vector<TokenLogprob>& out) {
  double mass = 0.0;
  for (const float logit : logits) mass += exp_negative(logit - best);
  const double log_mass = std::log(mass);
  const auto of = [&](int32_t token) {
    return TokenLogprob{token,
                        static_cast<float>(static_cast<double>(logits[static_cast<size_t>(token)]) - best - log_mass)};
  };
  out.assign(1, of(chosen));
  std::vector<int32_t> top;  // descending; equal logits by id
  for (size_t i = 0; i < logits.size() && count > 0; ++i) {
    if (top.size() == static_cast<size_t>(count) && logits[i] <= logits[static_cast<size_t>(top.back())]) continue;
    const auto place =
        std::find_if(top.begin(), top.end(), [&](int32_t id) { return logits[i] > logits[static_cast<size_t>(id)]; });
    top.insert(place, static_cast<int32_t>(i));
    if (top.size() > static_cast<size_t>(count)) top.pop_back();
  }
  for (const int32_t id : top) out.push_back(of(id));
}

}  // namespace

std::array<uint32_t, 4> philox(const std::array<uint32_t, 4>& counter, const std::array<uint32_t, 2>& key) {
  std::array<uint32_t, 4> c = counter;
  std::array<uint32_t, 2> k = key;
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53} * c[0];
    const uint64_t b = uint64_t{0xCD9E8D57} * c[2];
    c = {static_cast<uint32_t>(b >> 32) ^ c[1] ^ k[0], static_cast<uint32_t>(b),
         static_cast<uint32_t>(a >> 32) ^ c[3] ^ k[1], static_cast<uint32_t>(a)};
    k[0] += 0x9E3779B9;
    k[1] += 0xBB67AE85;
  }
  return c;
}

uint64_t system_seed() {
  std::random_device device;
  const uint64_t seed = (static_cast<uint64_t>(device()) << 32 | device()) >> 11;  // exact in a JSON number
  return seed == 0 ? 1 : seed;
}

SamplerState::SamplerState(const SamplingParams& params, std::span<const int32_t> prompt, int64_t vocabulary)
    : params_(params) {
  if (params_.seed == 0) params_.seed = system_seed();
  penalties_ =
      params_.repetition_penalty != 1.0f || params_.presence_penalty != 0.0f || params_.frequency_penalty != 0.0f;
  if (!penalties_) return;
  counts_.assign(static_cast<size_t>(vocabulary), -1);
  for (const int32_t token : prompt) {
    int32_t& count = counts_.at(static_cast<size_t>(token));
    if (count < 0) seen_.push_back(token);
    count = 0;
  }
}

double SamplerState::uniform() const {
  const std::array<uint32_t, 4> bits =
      philox({static_cast<uint32_t>(sampled_), static_cast<uint32_t>(sampled_ >> 32), 0, 0},
             {static_cast<uint32_t>(params_.seed), static_cast<uint32_t>(params_.seed >> 32)});
  const uint64_t wide = static_cast<uint64_t>(bits[0]) << 32 | bits[1];
  return static_cast<double>(wide >> 11) * 0x1p-53;
}

void SamplerState::accept(int32_t token) {
  ++sampled_;
  if (!penalties_) return;
  int32_t& count = counts_.at(static_cast<size_t>(token));
  if (count < 0) {
    seen_.push_back(token);
    count = 0;
  }
  ++count;
}

void SamplerState::adjust(std::span<float> logits) const {
  for (const auto& [token, bias] : params_.logit_bias) logits[static_cast<size_t>(token)] += bias;
  for (const int32_t token : seen_) {
    float& logit = logits[static_cast<size_t>(token)];
    const int32_t count = counts_[static_cast<size_t>(token)];
    logit = logit > 0 ? logit / params_.repetition_penalty : logit * params_.repetition_penalty;
    if (count > 0) logit -= params_.presence_penalty + params_.frequency_penalty * static_cast<float>(count);
  }
}

Sampler::Sampler(int64_t vocabulary) : vocabulary_(vocabulary) {
  const auto n = static_cast<size_t>(vocabulary);
  adjusted_.resize(n);
  x_.resize(n);
  weight_.resize(n);
  candidates_.reserve(n);
  maxima_.resize((n + kBlock - 1) / kBlock);
  order_.resize(maxima_.size());
}

int64_t Sampler::bytes_for(int64_t vocabulary) {
  const int64_t blocks = (vocabulary + static_cast<int64_t>(kBlock) - 1) / static_cast<int64_t>(kBlock);
  return vocabulary * static_cast<int64_t>(3 * sizeof(float) + sizeof(Candidate)) +
         blocks * static_cast<int64_t>(2 * sizeof(float));
}

int32_t Sampler::sample(std::span<const float> logits, const SamplerState& state, std::vector<TokenLogprob>& logprobs,
                        std::span<const uint64_t> allowed) {
  AUTOGLM_CHECK(static_cast<int64_t>(logits.size()) == vocabulary_, "a row of logits has the vocabulary's size");
  AUTOGLM_CHECK(allowed.empty() || allowed.size() == (logits.size() + 63) / 64, "a bit for each token");
  const SamplingParams& params = state.params();
  Scan found = scan<kBlock>(logits, maxima_);
  if (!found.finite) return kNotFinite;
  const float model_best = found.best;
  std::span<const float> row = logits;
  if (state.adjusts()) {
    std::copy(logits.begin(), logits.end(), adjusted_.begin());
    state.adjust(adjusted_);
    row = adjusted_;
    found = scan<kBlock>(row, maxima_);
    if (!found.finite) return kNotFinite;
  }
  int64_t count = 0;
  for (const uint64_t word : allowed) count += std::popcount(word);
  if (!allowed.empty() && count == 0) return kNothingAllowed;
  const bool few = !allowed.empty() && count <= kFewAllowed;
  if (!allowed.empty() && !few) {
    mask_out(row, allowed);
    row = adjusted_;
    found = scan<kBlock>(row, maxima_);
  }
  int32_t token = 0;
  if (few) {
    token = draw_of_allowed(row, allowed, params, state.uniform());
  } else if (params.temperature == 0.0f) {
    const auto block = std::find(maxima_.begin(), maxima_.end(), found.best) - maxima_.begin();
    const auto first = row.begin() + block * static_cast<int64_t>(kBlock);
    token = static_cast<int32_t>(std::find(first, row.end(), found.best) - row.begin());
  } else if (params.top_k > 0 && static_cast<size_t>(params.top_k) <= maxima_.size() / 4) {
    token = draw_of_few(row, found.best, params, state.uniform());
  } else {
    weigh(row, found.best, params.temperature);
    token = draw(choose(params), state.uniform());
  }
  if (params.logprobs >= 0) log_probabilities(logits, model_best, token, params.logprobs, logprobs);
  return token;
}

// Fills adjusted_, which may be where `logits` lie.
void Sampler::mask_out(std::span<const float> logits, std::span<const uint64_t> allowed) {
  for (size_t word = 0; word < allowed.size(); ++word) {
    const size_t begin = word * 64;
    const size_t end = std::min(begin + 64, logits.size());
    const uint64_t bits = allowed[word];
    for (size_t i = begin; i < end; ++i) {
      adjusted_[i] = (bits >> (i - begin) & 1) != 0 ? logits[i] : kMaskedOut;
    }
  }
}

bool Sampler::score(std::span<const float> logits, int32_t token, int best, std::vector<TokenLogprob>& logprobs) {
  const Scan found = scan<kBlock>(logits, maxima_);
  if (found.finite) log_probabilities(logits, found.best, token, best, logprobs);
  return found.finite;
}

namespace {

// A tiny temperature only makes far tokens impossible, never a division by a denormal.
float inverse_of(float temperature) { return 1.0f / std::max(temperature, 1e-6f); }

// The best token has x = 0, and p = 1 keeps it.
float lowest_of(float min_p) { return min_p > 0.0f ? std::min(0.0f, std::log(min_p)) : -INFINITY; }

}  // namespace

// The k best are in the blocks whose maximum is among the k largest: the others are not looked at.
int32_t Sampler::draw_of_few(std::span<const float> logits, float best, const SamplingParams& params, double uniform) {
  const auto k = static_cast<size_t>(params.top_k);
  const float inverse = inverse_of(params.temperature);
  std::copy(maxima_.begin(), maxima_.end(), order_.begin());
  std::nth_element(order_.begin(), order_.begin() + params.top_k - 1, order_.end(), std::greater<>());
  // Compared as x, not as logits: different logits may have the same x, and then the lower id goes first.
  const float bound = (order_[k - 1] - best) * inverse;
  candidates_.clear();
  for (size_t block = 0; block < maxima_.size(); ++block) {
    if ((maxima_[block] - best) * inverse < bound) continue;
    for (size_t i = block * kBlock; i < std::min((block + 1) * kBlock, logits.size()); ++i) {
      const float x = (logits[i] - best) * inverse;
      if (x >= bound) candidates_.push_back({x, static_cast<int32_t>(i)});
    }
  }
  return draw_of_candidates(params, uniform);
}

int32_t Sampler::draw_of_allowed(std::span<const float> logits, std::span<const uint64_t> allowed,
                                 const SamplingParams& params, double uniform) {
  candidates_.clear();
  for (size_t word = 0; word < allowed.size(); ++word) {
    for (uint64_t bits = allowed[word]; bits != 0; bits &= bits - 1) {
      const size_t i = word * 64 + static_cast<size_t>(std::countr_zero(bits));
      candidates_.push_back({logits[i], static_cast<int32_t>(i)});
    }
  }
  const Candidate best = *std::min_element(candidates_.begin(), candidates_.end(), before);
  if (params.temperature == 0.0f) return best.id;
  const float inverse = inverse_of(params.temperature);
  for (Candidate& c : candidates_) c.x = (c.x - best.x) * inverse;
  return draw_of_candidates(params, uniform);
}

// Top-k, top-p and min-p over the candidates, then the draw.
int32_t Sampler::draw_of_candidates(const SamplingParams& params, double uniform) {
  const size_t k =
      params.top_k > 0 ? std::min(static_cast<size_t>(params.top_k), candidates_.size()) : candidates_.size();
  if (k < candidates_.size()) {
    std::nth_element(candidates_.begin(), candidates_.begin() + static_cast<int64_t>(k) - 1, candidates_.end(), before);
    candidates_.resize(k);
  }
  std::sort(candidates_.begin(), candidates_.end(), before);
  if (params.top_p < 1.0f) {
    double total = 0.0, sum = 0.0;
    for (const Candidate& c : candidates_) total += exp_negative(c.x);
    size_t kept = 0;
    while (kept < k && (kept == 0 || sum < params.top_p * total)) sum += exp_negative(candidates_[kept++].x);
    candidates_.resize(kept);
  }
  while (candidates_.back().x < lowest_of(params.min_p)) candidates_.pop_back();
  std::sort(candidates_.begin(), candidates_.end(), [](const Candidate& a, const Candidate& b) { return a.id < b.id; });
  double total = 0.0, sum = 0.0;
  for (const Candidate& c : candidates_) total += exp_negative(c.x);
  int32_t last = 0;
  for (const Candidate& c : candidates_) {
    const float weight = exp_negative(c.x);
    if (weight == 0.0f) continue;
    last = c.id;
    sum += weight;
    if (sum > uniform * total) break;
  }
  return last;  // rounding may leave the sum below the goal: the last one kept
}

void Sampler::weigh(std::span<const float> logits, float best, float temperature) {
  const float inverse = inverse_of(temperature);
  for (size_t i = 0; i < logits.size(); ++i) {
    x_[i] = (logits[i] - best) * inverse;
    weight_[i] = exp_negative(x_[i]);
  }
}

namespace {

int bucket_of(float x, int buckets) {
  const float place = -x * kBucketsPerNat;
  return place < static_cast<float>(buckets - 1) ? static_cast<int>(place) : buckets - 1;
}

}  // namespace

Sampler::Cut Sampler::choose(const SamplingParams& params) {
  const bool by_count = params.top_k > 0 && params.top_k < vocabulary_;
  const bool by_mass = params.top_p < 1.0f;
  Cut cut{-INFINITY, static_cast<int32_t>(vocabulary_)};
  if (by_count || by_mass) {
    bucket_count_.fill(0);
    bucket_mass_.fill(0.0);
    for (size_t i = 0; i < x_.size(); ++i) {
      const auto b = static_cast<size_t>(bucket_of(x_[i], kBuckets));
      ++bucket_count_[b];
      bucket_mass_[b] += weight_[i];
    }
    double total = 0.0;
    for (const double mass : bucket_mass_) total += mass;
    int64_t count = 0;
    double mass = 0.0;  // of the buckets before `last`
    int last = 0;
    for (; last < kBuckets - 1; ++last) {
      const auto b = static_cast<size_t>(last);
      if (by_count ? count + bucket_count_[b] >= params.top_k : mass + bucket_mass_[b] >= params.top_p * total) break;
      count += bucket_count_[b];
      mass += bucket_mass_[b];
    }
    // By mass alone, everything before the last bucket is in.
    gather(by_count ? 0 : last, last);
    size_t kept = candidates_.size();
    if (by_count) {
      kept = std::min(kept, static_cast<size_t>(params.top_k));
      std::nth_element(candidates_.begin(), candidates_.begin() + static_cast<int64_t>(kept) - 1, candidates_.end(),
                       before);
      mass = total = 0.0;
      for (size_t i = 0; i < kept; ++i) total += weight_[static_cast<size_t>(candidates_[i].id)];
    }
    if (by_mass) kept = cut_mass(kept, params.top_p * total - mass);
    const Candidate worst =
        *std::max_element(candidates_.begin(), candidates_.begin() + static_cast<int64_t>(kept), before);
    cut = {worst.x, worst.id};
  }
  const float lowest = lowest_of(params.min_p);
  if (lowest > cut.x) cut = {lowest, static_cast<int32_t>(vocabulary_)};
  return cut;
}

// The branchless append keeps up with memory where every other token passes.
void Sampler::gather(int first_bucket, int last_bucket) {
  candidates_.resize(x_.size());
  size_t n = 0;
  for (size_t i = 0; i < x_.size(); ++i) {
    const int bucket = bucket_of(x_[i], kBuckets);
    candidates_[n] = {x_[i], static_cast<int32_t>(i)};
    n += static_cast<size_t>(bucket >= first_bucket && bucket <= last_bucket);
  }
  candidates_.resize(n);
}

// Of the first `kept` candidates, brings the fewest best that weigh at least `mass` to the front and returns how many:
// a quickselect by weight.
size_t Sampler::cut_mass(size_t kept, double mass) {
  size_t low = 0;      // candidates before it are in
  size_t high = kept;  // candidates from it on are out
  while (high - low > 1) {
    const size_t middle = low + (high - low) / 2;
    const auto at = [this](size_t i) { return candidates_.begin() + static_cast<int64_t>(i); };
    std::nth_element(at(low), at(middle), at(high), before);
    double upper = 0.0;
    for (size_t i = low; i < middle; ++i) upper += weight_[static_cast<size_t>(candidates_[i].id)];
    if (upper >= mass) {
      high = middle;
    } else {
      mass -= upper;
      low = middle;
    }
  }
  return high;
}

int32_t Sampler::draw(const Cut& cut, double uniform) {
  const size_t n = x_.size();
  const size_t equals_end = std::min(static_cast<size_t>(cut.id) + 1, n);
  for (size_t i = 0; i < equals_end; ++i) weight_[i] = x_[i] >= cut.x ? weight_[i] : 0.0f;
  for (size_t i = equals_end; i < n; ++i) weight_[i] = x_[i] > cut.x ? weight_[i] : 0.0f;
  // Several sums at once, which an addition's latency does not hold up.
  constexpr size_t kLanes = 8, kStretch = 64 * kLanes;
  const auto mass_from = [&](size_t begin) {
    const size_t end = std::min(begin + kStretch, n);
    std::array<double, kLanes> sums{};
    size_t i = begin;
    for (; i + kLanes <= end; i += kLanes) {
      for (size_t lane = 0; lane < kLanes; ++lane) sums[lane] += weight_[i + lane];
    }
    for (; i < end; ++i) sums[0] += weight_[i];
    return std::accumulate(sums.begin(), sums.end(), 0.0);
  };
  double total = 0.0;
  for (size_t begin = 0; begin < n; begin += kStretch) total += mass_from(begin);
  const double goal = uniform * total;
  size_t stretch = 0;  // the one that the draw falls into
  double sum = 0.0;    // of what lies before it
  for (size_t begin = 0; begin < n; begin += kStretch) {
    const double mass = mass_from(begin);
    if (mass == 0.0) continue;
    stretch = begin;
    if (sum + mass > goal) break;
    sum += mass;
  }
  int32_t last = 0;
  for (size_t i = stretch; i < std::min(stretch + kStretch, n); ++i) {
    if (weight_[i] == 0.0f) continue;
    last = static_cast<int32_t>(i);
    sum += weight_[i];
    if (sum > goal) break;
  }
  return last;  // rounding may leave the sum below the goal: the last one kept
}

}  // namespace autoglm
