// Speed of the kernels on a model's shape with random weights, beside the machine's roofs: what the layers alone could
// give, without tokenizer, engine and sampler.   usage: layer_bench [isa] [threads] [rows] [steps] [depth]
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/pages.h"
#include "base/pool.h"
#include "kernels/backend.h"
#include "kernels/probe.h"

namespace autoglm {
namespace {

/// Time of this thread on a CPU, so that one thread can be measured on a busy machine; with more threads that is the
/// time of worker 0, which waits actively for the others.
struct Clock {
  using time_point = double;
  static double now() {
    timespec t{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
  }
};
double since(Clock::time_point begin) { return Clock::now() - begin; }

// SmolLM2-135M.
constexpr int kLayers = 30, kHidden = 576, kInner = 1536, kHeads = 9, kKvHeads = 3, kHeadDim = 64, kVocabulary = 49152;

/// One CPU a worker: left to the scheduler, a worker that was woken may land on its waker's CPU.
std::vector<int> first_cpus(int threads) {
  std::vector<int> cpus(static_cast<size_t>(threads));
  std::iota(cpus.begin(), cpus.end(), 0);
  return cpus;
}

class Model {
 public:
  Model(std::string_view isa, int threads, int64_t rows, int64_t context, KvType kv)
      : pool_(PoolOptions{.threads = threads, .cpus = first_cpus(threads), .spin_microseconds = 2000}),
        backend_(make_backend(isa, pool_)) {
    for (int l = 0; l < kLayers; ++l) {
      layers_.push_back({load(kHidden, kHidden), load(kKvHeads * kHeadDim, kHidden), load(kKvHeads * kHeadDim, kHidden),
                         load(kHidden, kHidden), load(kInner, kHidden), load(kInner, kHidden), load(kHidden, kInner)});
    }
    head_ = load(kVocabulary, kHidden, Type::q8_0);
    norm_.weight = backend_->make_buffer(1, kHidden);
    backend_->write(norm_.weight, 0, std::vector<float>(kHidden, 1.0f));
    RopeSpec rope{kHeadDim, false, {}, 1.0f, {}};
    for (int i = 0; i < kHeadDim / 2; ++i)
      rope.inv_freq.push_back(std::pow(1e5f, -2.0f * static_cast<float>(i) / kHeadDim));
    rope_ = backend_->add_rope(rope);
    const std::vector<KvLayerSpec> specs(kLayers, {KvLayerSpec::Kind::kv, kKvHeads, kHeadDim, kHeadDim, kv});
    kv_ = backend_->make_kv(specs, context / kKvBlock + 1);
    for (int32_t b = 0; b <= context / kKvBlock; ++b) blocks_.push_back(b);
    StepLimits limits{.rows = rows, .widest = kInner, .heads = kHeads, .head_dim = kHeadDim, .context = context};
    backend_->reserve(limits);
    x_ = backend_->make_buffer(rows, kHidden);
    q_ = backend_->make_buffer(rows, kHidden);
    k_ = backend_->make_buffer(rows, kKvHeads * kHeadDim);
    v_ = backend_->make_buffer(rows, kKvHeads * kHeadDim);
    out_ = backend_->make_buffer(rows, kHidden);
    inner_ = backend_->make_buffer(rows, kInner);
    logits_ = backend_->make_buffer(1, kVocabulary);
    backend_->settle(/*wait=*/true);
  }

  /// One step of n rows after `past`; seconds of each phase are added to `times`.
  void step(int64_t n, int64_t past, double (&times)[6]) {
    std::vector<int32_t> tokens(static_cast<size_t>(n)), positions(tokens.size());
    for (int64_t i = 0; i < n; ++i) {
      tokens[static_cast<size_t>(i)] = static_cast<int32_t>(i * 37 % kVocabulary);
      positions[static_cast<size_t>(i)] = static_cast<int32_t>(past + i);
    }
    const KvSegment segment{blocks_, past, 0, n};
    backend_->begin_step(n, positions);
    backend_->embed({&head_, tokens, 1.0f, &x_});
    const auto timed = [&](int which, auto&& phase) {
      const Clock::time_point begin = Clock::now();
      phase();
      times[which] += since(begin);
    };
    for (int l = 0; l < kLayers; ++l) {
      Layer& w = layers_[static_cast<size_t>(l)];
      const Projection qkv[] = {{&w.q, nullptr, &q_}, {&w.k, nullptr, &k_}, {&w.v, nullptr, &v_}};
      timed(0, [&] { backend_->project({n, &x_, 0, &norm_, qkv}); });
      AttentionArgs args{};
      args.rows = n, args.q = &q_, args.k = &k_, args.v = &v_, args.out = &out_, args.rope = rope_;
      args.heads = kHeads, args.kv_heads = kKvHeads, args.key_dim = kHeadDim, args.value_dim = kHeadDim;
      args.scale = 0.125f, args.kv = {kv_.get(), l, {&segment, 1}};
      timed(1, [&] { backend_->attention(args); });
      timed(2, [&] { backend_->project_add({n, &out_, &w.o, nullptr, nullptr, 1.0f, &x_}); });
      timed(3,
            [&] { backend_->gate_up({n, &x_, &norm_, &w.gate, &w.up, nullptr, nullptr, Activation::silu, &inner_}); });
      timed(4, [&] { backend_->project_add({n, &inner_, &w.down, nullptr, nullptr, 1.0f, &x_}); });
    }
    const int32_t last = static_cast<int32_t>(n - 1);
    timed(5, [&] { backend_->head({&x_, {&last, 1}, &norm_, &head_, 0.0f, &logits_, nullptr}); });
  }

  WorkerPool& pool() { return pool_; }
  int64_t weight_bytes() const { return bytes_; }

 private:
  struct Layer {
    Weight q, k, v, o, gate, up, down;
  };

  Weight load(int64_t rows, int64_t cols, Type type = Type::q4_1) {
    std::mt19937 engine(static_cast<uint32_t>(bytes_));
    std::vector<float> values(static_cast<size_t>(rows * cols));
    for (float& v : values) v = (static_cast<float>(engine() >> 8) / 16777216.0f - 0.5f) * 0.1f;
    sources_.emplace_back(static_cast<size_t>(row_bytes(type, cols) * rows));
    info(type).encode(values.data(), sources_.back().data(), rows * cols);
    WeightSource source{"w", type, 1, rows, cols, sources_.back()};
    // Side by side on huge pages, as a model's weights are: small pages cost a third of the speed of decode.
    const int64_t bytes = backend_->weight_bytes(source, Precision::automatic);
    AUTOGLM_CHECK(packed_ + bytes <= arena_.size(), "more weights than SmolLM2 has");
    const std::span<std::byte> packed(reinterpret_cast<std::byte*>(arena_.data() + packed_),
                                      static_cast<size_t>(bytes));
    packed_ += (bytes + 63) / 64 * 64;
    backend_->pack(source, Precision::automatic, packed);
    source.packed = packed;
    const Weight weight = backend_->load(source, Precision::automatic);
    bytes_ += weight.bytes;
    return weight;
  }

  WorkerPool pool_;
  Pages arena_{int64_t{160} << 20, /*huge=*/true};
  int64_t packed_ = 0;  // bytes of it
  std::unique_ptr<Backend> backend_;
  std::vector<std::vector<std::byte>> sources_;
  int64_t bytes_ = 0;
  std::vector<Layer> layers_;
  Weight head_;
  Norm norm_;
  int rope_ = -1;
  std::unique_ptr<KvStore> kv_;
  std::vector<int32_t> blocks_;
  Buffer x_, q_, k_, v_, out_, inner_, logits_;
};

void report(const char* what, double tokens, const double (&times)[6]) {
  static const char* names[] = {"qkv", "attention", "output", "gate-up", "down", "head"};
  double total = 0.0;
  for (double t : times) total += t;
  std::printf("%s: %.0f tokens/s (%.2f ms:", what, tokens / total, total * 1e3);
  for (int i = 0; i < 6; ++i) std::printf(" %s %.2f", names[i], times[i] * 1e3);
  std::printf(")\n");
}

int run(int argc, char** argv) {
  const std::string isa = argc > 1 ? argv[1] : "auto";
  const int threads = argc > 2 ? std::atoi(argv[2]) : 1;
  const int64_t rows = argc > 3 ? std::atoi(argv[3]) : 512;
  const int steps = argc > 4 ? std::atoi(argv[4]) : 32;
  const int64_t depth = argc > 5 ? std::atoi(argv[5]) : 0;  // tokens before: their keys and values are zeros
  Model model(isa, threads, rows, depth + rows + steps + 16, KvType::q8);
  if (argc <= 6) {
    const Roofs roofs = probe_roofs(model.pool(), isa);
    std::printf("roofs: int8 %.0f Gop/s, bf16 %.0f Gop/s, read %.1f GB/s, on huge pages %.1f GB/s (%lld MiB read)\n",
                roofs.int8_gops, roofs.bf16_gops, roofs.read_gbps_small, roofs.read_gbps_huge,
                static_cast<long long>(roofs.read_bytes >> 20));
  }
  constexpr double kParameters =
      kLayers * (2.0 * kHidden * kHidden + 2.0 * kKvHeads * kHeadDim * kHidden + 3.0 * kHidden * kInner);
  for (int round = 0; round < 3; ++round) {
    double prefill[6] = {}, decode[6] = {};
    const int64_t repeats = std::max<int64_t>(1, 512 / rows);  // short steps: the mean of some
    for (int64_t i = 0; i < repeats; ++i) model.step(rows, depth, prefill);
    for (double& t : prefill) t /= static_cast<double>(repeats);
    report("prefill", static_cast<double>(rows), prefill);
    for (int i = 0; i < steps; ++i) model.step(1, depth + rows + i, decode);
    report("decode", steps, decode);
    double linear = prefill[0] + prefill[2] + prefill[3] + prefill[4], read = 0.0;
    for (double t : decode) read += t;
    std::printf("  products %.0f Gop/s; decode reads %.1f GB/s of weights\n",
                2.0 * kParameters * static_cast<double>(rows) / linear / 1e9,
                static_cast<double>(model.weight_bytes()) * steps / read / 1e9);
  }
  return 0;
}

}  // namespace
}  // namespace autoglm

int main(int argc, char** argv) { return autoglm::run(argc, argv); }
