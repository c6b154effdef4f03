// Mixture of experts against the reference on every ISA, and bit for bit against itself.
#include "cpu_support.h"

namespace autoglm {
namespace {

using test::isas_under_test;
using test::Machine;
using test::random_values;
using test::random_weight;

struct Shape {
  RouterSpec spec{8, 3, 1, 1, true, true, 1.7f};
  bool shared = true, correction = true, post_norm = false;
  Activation activation = Activation::silu;
  Type type = Type::q8_0;
  Precision precision = Precision::f32;
};

constexpr int64_t kRows = 37, kHidden = 64, kInner = 32, kSharedInner = 96;

std::vector<float> run(Machine& m, const Shape& s, int64_t step, int64_t reserved_top_k) {
  StepLimits limits;
  limits.rows = kRows;
  limits.widest = kSharedInner;
  limits.heads = 1, limits.head_dim = 16, limits.context = 16;
  limits.experts = s.spec.experts;
  limits.top_k = reserved_top_k;
  limits.expert_width = kSharedInner;
  m.reserve(limits);
  const int64_t n = s.spec.experts;
  const auto load = [&](int64_t rows, int64_t cols, int64_t count, uint32_t seed) {
    return m.load(random_weight(s.type, count * rows, cols, seed), s.type, rows, cols, s.precision, count);
  };
  const Weight router = m.load(random_weight(Type::f32, n, kHidden, 1), Type::f32, n, kHidden, Precision::f32);
  const Weight gate = load(kInner, kHidden, n, 2), up = load(kInner, kHidden, n, 3), down = load(kHidden, kInner, n, 4);
  const Weight shared_gate = load(kSharedInner, kHidden, 1, 5), shared_up = load(kSharedInner, kHidden, 1, 6),
               shared_down = load(kHidden, kSharedInner, 1, 7);
  const Norm norm{m.buffer(1, kHidden, random_values(kHidden, 8)), 1e-5f};
  const Norm post{m.buffer(1, kHidden, random_values(kHidden, 9)), 1e-5f};
  const Buffer correction = m.buffer(1, n, random_values(static_cast<size_t>(n), 10, 0.3f));
  const std::vector<float> x = random_values(kRows * kHidden, 11), r = random_values(kRows * kHidden, 12);
  std::vector<float> all;
  for (int64_t first = 0; first < kRows; first += step) {
    const int64_t rows = std::min(step, kRows - first);
    const auto part = [&](const std::vector<float>& values) {
      return m.buffer(rows, kHidden, {values.begin() + first * kHidden, values.begin() + (first + rows) * kHidden});
    };
    const Buffer in = part(x);
    Buffer residual = part(r);
    m.begin(rows);
    ExpertsArgs args{};
    args.rows = rows, args.x = &in, args.norm = &norm, args.router = &router;
    args.correction = s.correction ? &correction : nullptr;
    args.spec = s.spec;
    args.gate = &gate, args.up = &up, args.down = &down;
    if (s.shared) args.shared_gate = &shared_gate, args.shared_up = &shared_up, args.shared_down = &shared_down;
    args.activation = s.activation;
    args.post_norm = s.post_norm ? &post : nullptr;
    args.residual = &residual;
    m->experts(args);
    const std::vector<float> part_out = m.read(residual);
    all.insert(all.end(), part_out.begin(), part_out.end());
  }
  return all;
}

std::vector<Shape> shapes() {
  std::vector<Shape> all(6);
  all[1].spec = {8, 2, 4, 2, true, false, 1.0f}, all[1].post_norm = true;
  all[2].spec = {40, 6, 1, 1, false, true, 1.0f}, all[2].shared = false, all[2].correction = false;
  all[3].spec = {8, 8, 1, 1, false, false, 2.5f}, all[3].activation = Activation::gelu_tanh;
  all[4].type = Type::f32, all[4].precision = Precision::automatic;
  all[5].type = Type::q4_1, all[5].precision = Precision::automatic;
  return all;
}

TEST(CpuExperts, AgreesWithTheReference) {
  for (size_t i = 0; i < shapes().size(); ++i) {
    const Shape shape = shapes()[i];
    Machine ref("ref");
    const std::vector<float> expected = run(ref, shape, kRows, shape.spec.top_k);
    // f32: sums of at most 96 products, three in a row. int8: see cpu_linear_test.cpp, twice in a row.
    const double tolerance = shape.type == Type::q4_1 ? 3e-2 : 5e-5;
    for (const std::string& isa : isas_under_test()) {
      Machine machine(isa);
      EXPECT_LE(test::distance(run(machine, shape, kRows, shape.spec.top_k), expected), tolerance)
          << isa << " shape " << i;
    }
  }
}

TEST(CpuExperts, SameBitsForChunksThreadsAndScratch) {
  for (size_t i = 0; i < shapes().size(); ++i) {
    const Shape shape = shapes()[i];
    for (const std::string& isa : isas_under_test()) {
      Machine whole(isa), single(isa, 2), chunks(isa, 3), small(isa);
      const std::vector<float> expected = run(whole, shape, kRows, shape.spec.top_k);
      EXPECT_EQ(run(single, shape, 1, shape.spec.top_k), expected) << isa << " shape " << i;
      EXPECT_EQ(run(chunks, shape, 13, shape.spec.top_k), expected) << isa << " shape " << i;
      EXPECT_EQ(run(small, shape, kRows, 0), expected) << isa << " shape " << i << ": in passes, for want of scratch";
    }
  }
}

TEST(CpuExperts, TiesGoToTheLowerIndex) {
  // Zero rows score 0.5 everywhere: experts 0, 1, 2 must be taken, as the reference does.
  for (const std::string& isa : isas_under_test()) {
    Shape shape;
    shape.correction = false;
    const auto zero_router = [&](Machine& m) {
      const int64_t n = shape.spec.experts;
      StepLimits limits;
      limits.rows = 1, limits.widest = kHidden, limits.heads = 1, limits.head_dim = 16, limits.context = 16;
      limits.experts = n, limits.top_k = 3;
      m.reserve(limits);
      const Weight router =
          m.load(std::vector<std::byte>(static_cast<size_t>(n * kHidden * 4)), Type::f32, n, kHidden, Precision::f32);
      const auto load = [&](int64_t rows, int64_t cols, uint32_t seed) {
        return m.load(random_weight(Type::f32, n * rows, cols, seed), Type::f32, rows, cols, Precision::f32, n);
      };
      const Weight gate = load(kInner, kHidden, 2), up = load(kInner, kHidden, 3), down = load(kHidden, kInner, 4);
      const Buffer x = m.buffer(1, kHidden, random_values(kHidden, 5));
      Buffer residual = m.buffer(1, kHidden, std::vector<float>(kHidden, 0.0f));
      m.begin(1);
      ExpertsArgs args{};
      args.rows = 1, args.x = &x, args.router = &router, args.spec = shape.spec;
      args.gate = &gate, args.up = &up, args.down = &down, args.residual = &residual;
      m->experts(args);
      return m.read(residual);
    };
    Machine ref("ref"), machine(isa);
    EXPECT_LE(test::distance(zero_router(machine), zero_router(ref)), 5e-5) << isa;
  }
}

}  // namespace
}  // namespace autoglm
