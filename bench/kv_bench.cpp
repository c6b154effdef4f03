// How fast the attention of a decode step reads keys and values from memory, as a share of what the same threads read
// with nothing else to do, and how fast it would be if they lay in the cache: the bound of decoding behind a long
// context.   usage: kv_bench [isa [threads]]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "base/pool.h"
#include "kernels/backend.h"
#include "kernels/probe.h"

namespace autoglm {
namespace {

// The attention of the 1.45 B model of bench/shapes.yaml.
constexpr int kLayers = 20, kHeads = 32, kKvHeads = 8, kHeadDim = 64;
constexpr int64_t kDepth = 16384, kBlocks = kDepth / kKvBlock + 1;
constexpr int kRounds = 7;

class Attention {
 public:
  Attention(WorkerPool& pool, std::string_view isa) : backend_(make_backend(isa, pool)) {
    const std::vector<KvLayerSpec> specs(kLayers, {KvLayerSpec::Kind::kv, kKvHeads, kHeadDim, kHeadDim, KvType::q8});
    kv_ = backend_->make_kv(specs, kBlocks);
    backend_->reserve(
        {.rows = 1, .widest = kHeads * kHeadDim, .heads = kHeads, .head_dim = kHeadDim, .context = kBlocks * kKvBlock});
    q_ = backend_->make_buffer(1, kHeads * kHeadDim);
    k_ = backend_->make_buffer(1, kKvHeads * kHeadDim);
    v_ = backend_->make_buffer(1, kKvHeads * kHeadDim);
    out_ = backend_->make_buffer(1, kHeads * kHeadDim);
    fill(q_), fill(k_), fill(v_);
    backend_->settle(/*wait=*/true);
    write_all();
  }

  int64_t bytes() const { return kDepth / kKvBlock * kv_->block_bytes(); }

  /// Seconds of all layers' attention of one token behind kDepth others.
  double step(std::span<const int32_t> blocks) {
    const int32_t position = kDepth;
    const KvSegment segment{blocks, kDepth, 0, 1};
    backend_->begin_step(1, {&position, 1});
    const auto begin = std::chrono::steady_clock::now();
    for (int layer = 0; layer < kLayers; ++layer) attend(layer, segment);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }

 private:
  void fill(Buffer& buffer) {
    std::vector<float> values(static_cast<size_t>(buffer.cols));
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i * 37 % 101) / 50.0f - 1.0f;
    backend_->write(buffer, 0, values);
  }

  /// One token a block, so that every page is there.
  void write_all() {
    for (int32_t block = 0; block < kBlocks; ++block) {
      const int32_t position = 0;
      backend_->begin_step(1, {&position, 1});
      for (int layer = 0; layer < kLayers; ++layer) attend(layer, KvSegment{{&block, 1}, 0, 0, 1});
    }
  }

  void attend(int layer, const KvSegment& segment) {
    AttentionArgs args{};
    args.rows = 1, args.q = &q_, args.k = &k_, args.v = &v_, args.out = &out_;
    args.heads = kHeads, args.kv_heads = kKvHeads, args.key_dim = kHeadDim, args.value_dim = kHeadDim;
    args.scale = 0.125f, args.kv = {kv_.get(), layer, {&segment, 1}};
    backend_->attention(args);
  }

  std::unique_ptr<Backend> backend_;
  std::unique_ptr<KvStore> kv_;
  Buffer q_, k_, v_, out_;
};

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

int run(int argc, char** argv) {
  const std::string isa = argc > 1 ? argv[1] : "auto";
  const int threads = argc > 2 ? std::max(1, std::atoi(argv[2])) : 2;
  std::vector<int> cpus(static_cast<size_t>(threads));
  std::iota(cpus.begin(), cpus.end(), 0);
  WorkerPool pool(PoolOptions{.threads = threads, .cpus = cpus, .spin_microseconds = 2000});
  Attention attention(pool, isa);
  std::vector<int32_t> apart(kBlocks), near(kBlocks);
  std::iota(apart.begin(), apart.end(), 0);
  // 32 tokens again and again: two blocks of 2,304 bytes a head, so that a layer's lie in the second-level cache.
  for (size_t i = 0; i < near.size(); ++i) near[i] = static_cast<int32_t>(i % 2);
  const auto gigabytes = static_cast<double>(attention.bytes()) * 1e-9;
  std::vector<double> shares, cached_shares;
  std::printf("%.0f MB of q8 keys and values, %d threads\n", gigabytes * 1e3, threads);
  for (int round = 0; round < kRounds; ++round) {
    const double roof = probe_read_gbps(pool, isa, attention.bytes());
    const double read = gigabytes / attention.step(apart), cached = gigabytes / attention.step(near);
    shares.push_back(read / roof);
    cached_shares.push_back(cached / roof);
    std::printf("from memory %5.1f GB/s, from the cache %5.1f, reading alone %5.1f: %3.0f %%\n", read, cached, roof,
                100 * read / roof);
  }
  std::printf("medians: %.0f %% of reading alone, from the cache %.0f %%\n", 100 * median(shares),
              100 * median(cached_shares));
  return 0;
}

}  // namespace
}  // namespace autoglm

int main(int argc, char** argv) { return autoglm::run(argc, argv); }
