#include "compress/scales_between.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "compress/tensor_values.h"

namespace autoglm {
namespace {

constexpr double kAlike = 0.5;  // least cosine of a channel's weights in both forms
constexpr double kMost = 7;     // |log| of a scale: more is no scaling but damage
constexpr int64_t kPieces = 32;

/// Sums of products of A's and B's weights of each channel.
struct ChannelSums {
  std::vector<double> aa, ab, bb;
  explicit ChannelSums(size_t channels) : aa(channels), ab(channels), bb(channels) {}
  void add(size_t channel, double a, double b) {
    aa[channel] += a * a;
    ab[channel] += a * b;
    bb[channel] += b * b;
  }
  void add(const ChannelSums& other) {
    for (size_t c = 0; c < aa.size(); ++c) {
      aa[c] += other.aa[c];
      ab[c] += other.ab[c];
      bb[c] += other.bb[c];
    }
  }
};

/// Logarithms of the scales, less their mean in each set. Where a channel's weights do not resemble each other it gets
/// the mean. Empty: most do not.
std::vector<double> logs_of(const ChannelSums& sums, const ScaledChannels& site, double sign) {
  std::vector<double> out(sums.aa.size());
  int64_t known = 0;
  for (int64_t set = 0; set < site.sets; ++set) {
    double mean = 0;
    std::vector<size_t> alike;
    for (int64_t i = 0; i < site.channels; ++i) {
      const auto c = static_cast<size_t>(set * site.channels + i);
      if (!(sums.ab[c] > kAlike * std::sqrt(sums.aa[c] * sums.bb[c]))) continue;
      out[c] = sign * std::log(sums.ab[c] / sums.aa[c]);
      if (!std::isfinite(out[c]) || std::abs(out[c]) > kMost) {
        out[c] = 0;
        continue;
      }
      mean += out[c];
      alike.push_back(c);
    }
    known += std::ssize(alike);
    for (const size_t c : alike) out[c] -= mean / static_cast<double>(alike.size());
  }
  if (2 * known < std::ssize(out)) return {};
  return out;
}

class Finder {
 public:
  Finder(const ScaledForm& a, const ScaledForm& b, WorkerPool& pool) : a_(a), b_(b), pool_(pool) {}

  ChannelScales run() {
    ChannelScales out(*b_.spec);
    for (const ScaledChannels& site : scaled_channels(*b_.spec)) {
      if (same_writer(site)) continue;
      ChannelSums sums(static_cast<size_t>(site.values()));
      for (const Role role : readers_of(site)) add_reader(site, role, sums);
      std::vector<double> logs = logs_of(sums, site, 1);
      if (logs.empty()) logs = logs_of(writer_sums(site), site, -1);
      if (logs.empty()) continue;
      std::vector<float> scales(logs.size());
      std::ranges::transform(logs, scales.begin(), [](double log) { return static_cast<float>(std::exp(log)); });
      out.set(site, std::move(scales));
    }
    return out;
  }

 private:
  struct Both {
    const LocatedTensor* a = nullptr;
    const LocatedTensor* b = nullptr;
  };
  Both find(Role role, int layer) const {
    const auto at = [&](const LocatedTensor& t) { return t.row->role == role && t.layer == layer; };
    const auto in_a = std::ranges::find_if(*a_.tensors, at);
    const auto in_b = std::ranges::find_if(*b_.tensors, at);
    if (in_a == a_.tensors->end() || in_b == b_.tensors->end()) return {};
    const bool same = in_a->shape.count == in_b->shape.count && in_a->shape.rows == in_b->shape.rows &&
                      in_a->shape.cols == in_b->shape.cols;
    return same ? Both{&*in_a, &*in_b} : Both{};
  }

  // Those whose rows have no factors of their own, if there are any.
  std::vector<Role> readers_of(const ScaledChannels& site) const {
    std::vector<Role> pure;
    std::vector<Role> all;
    for (const Role role : site.site->readers) {
      if (!find(role, site.layer).a) continue;
      all.push_back(role);
      const bool writes = std::ranges::any_of(scale_sites(), [&](const ScaleSite& other) {
        return std::ranges::find(other.writers, role) != other.writers.end();
      });
      if (!writes) pure.push_back(role);
    }
    return pure.empty() ? all : pure;
  }

  // Each reader counts alike, whatever the size of its weights.
  void add_reader(const ScaledChannels& site, Role role, ChannelSums& sums) const {
    const auto [in_a, in_b] = find(role, site.layer);
    const TensorValues a(*a_.spec, a_.container, *in_a);
    const TensorValues b(*b_.spec, b_.container, *in_b);
    const int64_t cols = a.cols();
    const int64_t grain = (a.rows() + kPieces - 1) / kPieces;
    std::vector<ChannelSums> parts(static_cast<size_t>((a.rows() + grain - 1) / grain),
                                   ChannelSums(static_cast<size_t>(site.values())));
    pool_.parallel_for(a.rows(), grain, [&](int64_t begin, int64_t end) {
      std::vector<float> x(static_cast<size_t>(cols));
      std::vector<float> y(x.size());
      for (int64_t r = begin; r < end; ++r) {
        a.read(r, x.data());
        b.read(r, y.data());
        const int64_t set = site.sets > 1 ? r / in_a->shape.rows : 0;
        for (int64_t j = 0; j < cols; ++j) {
          const auto& channel = site.site->channel;
          const int64_t c = channel ? channel(*b_.spec, site.layer, j) : j;
          parts[static_cast<size_t>(begin / grain)].add(static_cast<size_t>(set * site.channels + c),
                                                        static_cast<double>(x[static_cast<size_t>(j)]),
                                                        static_cast<double>(y[static_cast<size_t>(j)]));
        }
      }
    });
    ChannelSums all(static_cast<size_t>(site.values()));
    for (const ChannelSums& part : parts) all.add(part);
    const double weight = std::accumulate(all.aa.begin(), all.aa.end(), 0.0);
    if (!(weight > 0)) return;
    for (auto* list : {&all.aa, &all.ab, &all.bb}) {
      for (double& value : *list) value /= weight;
    }
    sums.add(all);
  }

  // What wrote the channels before, to the bit: they were not scaled.
  bool same_writer(const ScaledChannels& site) const {
    const auto [in_a, in_b] = find(site.site->writers.front(), site.layer);
    if (!in_a) return false;
    const TensorValues a(*a_.spec, a_.container, *in_a);
    const TensorValues b(*b_.spec, b_.container, *in_b);
    std::vector<float> x(static_cast<size_t>(a.cols()));
    std::vector<float> y(x.size());
    for (int64_t r = 0; r < a.rows(); ++r) {
      a.read(r, x.data());
      b.read(r, y.data());
      if (x != y) return false;
    }
    return true;
  }

  ChannelSums writer_sums(const ScaledChannels& site) const {
    ChannelSums sums(static_cast<size_t>(site.values()));
    const auto [in_a, in_b] = find(site.site->writers.front(), site.layer);
    if (!in_a) return sums;
    const TensorValues a(*a_.spec, a_.container, *in_a);
    const TensorValues b(*b_.spec, b_.container, *in_b);
    const bool vector = in_a->row->form != Form::matrix;
    std::vector<float> x(static_cast<size_t>(a.cols()));
    std::vector<float> y(x.size());
    for (int64_t r = 0; r < a.rows(); ++r) {
      a.read(r, x.data());
      b.read(r, y.data());
      for (size_t j = 0; j < x.size(); ++j) {
        sums.add(vector ? j : static_cast<size_t>(r), static_cast<double>(x[j]), static_cast<double>(y[j]));
      }
    }
    return sums;
  }

  const ScaledForm& a_;
  const ScaledForm& b_;
  WorkerPool& pool_;
};

}  // namespace

ChannelScales scales_between(const ScaledForm& a, const ScaledForm& b, WorkerPool& pool) {
  return Finder(a, b, pool).run();
}

}  // namespace autoglm
