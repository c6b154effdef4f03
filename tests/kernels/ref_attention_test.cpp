#include <algorithm>
#include <complex>
#include <numeric>

#include "base/error.h"
#include "ref_support.h"

namespace autoglm {
namespace {

using test::random_values;
using test::RefFixture;

/// One attention layer's shape, and how it turns.
struct Shape {
  int heads = 4, kv_heads = 2, key_dim = 8, value_dim = 6;
  RopeSpec rope{8, false, {1.0f, 0.3f, 0.1f, 0.01f}, 1.0f, {}};
  bool norms = false;
  float scale = 0.4f, softcap = 0.0f;
  int window = 0;
  KvType type = KvType::f32;
};

struct Input {
  Input(const Shape& s, int64_t count)
      : rows(count),
        q(random_values(static_cast<size_t>(count * s.heads * s.key_dim), 1)),
        k(random_values(static_cast<size_t>(count * s.kv_heads * s.key_dim), 2)),
        v(random_values(static_cast<size_t>(count * s.kv_heads * s.value_dim), 3)),
        norm_weight(random_values(static_cast<size_t>(s.key_dim), 4)),
        positions(static_cast<size_t>(count)) {
    std::iota(positions.begin(), positions.end(), 0);
  }
  int64_t rows;
  std::vector<float> q, k, v, norm_weight;
  std::vector<int32_t> positions;  // [1 or 3][rows]
};

/// Runs rows [0, rows) of one sequence in the given chunks, its blocks scattered over the store.
std::vector<float> run(const Shape& s, const Input& in, std::vector<int64_t> chunks) {
  RefFixture ref;
  const int rope = s.rope.dims > 0 ? ref->add_rope(s.rope) : -1;
  const KvLayerSpec layers[] = {{KvLayerSpec::Kind::kv, 1, 4, 4, KvType::q8},
                                {KvLayerSpec::Kind::kv, s.kv_heads, s.key_dim, s.value_dim, s.type}};
  const std::unique_ptr<KvStore> store = ref->make_kv(layers, 9);
  const int32_t blocks[] = {5, 2, 8, 0};
  const Norm norm{ref.buffer(1, s.key_dim, in.norm_weight), 1e-6f};
  std::vector<float> result;
  int64_t past = 0;
  for (int64_t rows : chunks) {
    const auto part = [&](const std::vector<float>& values, int64_t cols) {
      return ref.buffer(rows, cols, {values.begin() + past * cols, values.begin() + (past + rows) * cols});
    };
    Buffer q = part(in.q, s.heads * s.key_dim), k = part(in.k, s.kv_heads * s.key_dim),
           v = part(in.v, s.kv_heads * s.value_dim), out = ref.buffer(rows, s.heads * s.value_dim);
    std::vector<int32_t> positions;
    for (size_t axis = 0; axis * static_cast<size_t>(in.rows) < in.positions.size(); ++axis) {
      const auto from = in.positions.begin() + static_cast<int64_t>(axis) * in.rows + past;
      positions.insert(positions.end(), from, from + rows);
    }
    const KvSegment segment{blocks, past, 0, rows};
    ref->begin_step(rows, positions);
    AttentionArgs args{};
    args.rows = rows, args.q = &q, args.k = &k, args.v = &v;
    if (s.norms) args.q_norm = args.k_norm = &norm;
    args.rope = rope;
    args.heads = s.heads, args.kv_heads = s.kv_heads, args.key_dim = s.key_dim, args.value_dim = s.value_dim;
    args.scale = s.scale, args.softcap = s.softcap, args.window = s.window;
    args.kv = {store.get(), 1, {&segment, 1}};
    args.out = &out;
    ref->attention(args);
    const std::vector<float> values = ref.read(out);
    result.insert(result.end(), values.begin(), values.end());
    past += rows;
  }
  return result;
}

/// The same in complex numbers: a pair (a, b) is a + bi and rope multiplies it by e^(i * position * frequency).
std::vector<double> turned(const Shape& s, const Input& in, const float* head, int64_t row) {
  std::vector<double> x(head, head + s.key_dim);
  if (s.norms) {
    double mean = 0.0;
    for (double v : x) mean += v * v / s.key_dim;
    for (size_t d = 0; d < x.size(); ++d) x[d] *= in.norm_weight[d] / std::sqrt(mean + 1e-6);
  }
  const auto half = static_cast<size_t>(s.rope.dims / 2);
  for (size_t i = 0; i < half; ++i) {
    size_t axis = 0;
    if (!s.rope.sections.empty() && in.positions.size() > static_cast<size_t>(in.rows)) {
      std::vector<size_t> axes;
      for (size_t a = 0; a < 3; ++a) axes.insert(axes.end(), static_cast<size_t>(s.rope.sections[a]), a);
      axis = axes[i];
    }
    const double position = in.positions[axis * static_cast<size_t>(in.rows) + static_cast<size_t>(row)];
    const size_t a = s.rope.interleaved ? 2 * i : i, b = s.rope.interleaved ? 2 * i + 1 : i + half;
    const std::complex<double> z =
        std::complex<double>(x[a], x[b]) * std::polar<double>(s.rope.magnitude, position * s.rope.inv_freq[i]);
    x[a] = z.real(), x[b] = z.imag();
  }
  return x;
}

std::vector<float> expected(const Shape& s, const Input& in) {
  std::vector<float> out;
  for (int64_t r = 0; r < in.rows; ++r) {
    for (int h = 0; h < s.heads; ++h) {
      const int kv = h / (s.heads / s.kv_heads);
      const std::vector<double> q = turned(s, in, in.q.data() + (r * s.heads + h) * s.key_dim, r);
      std::vector<double> sum(static_cast<size_t>(s.value_dim));
      double total = 0.0;
      for (int64_t p = 0; p <= r; ++p) {
        if (s.window > 0 && p <= r - s.window) continue;
        const std::vector<double> k = turned(s, in, in.k.data() + (p * s.kv_heads + kv) * s.key_dim, p);
        double score = s.scale * std::inner_product(q.begin(), q.end(), k.begin(), 0.0);
        if (s.softcap > 0) score = s.softcap * std::tanh(score / s.softcap);
        total += std::exp(score);
        for (int d = 0; d < s.value_dim; ++d) {
          sum[static_cast<size_t>(d)] +=
              std::exp(score) * in.v[static_cast<size_t>((p * s.kv_heads + kv) * s.value_dim + d)];
        }
      }
      for (double v : sum) out.push_back(static_cast<float>(v / total));
    }
  }
  return out;
}

void expect_near(const std::vector<float>& got, const std::vector<float>& want, float tolerance) {
  ASSERT_EQ(got.size(), want.size());
  float worst = 0.0f;
  for (size_t i = 0; i < got.size(); ++i) worst = std::max(worst, std::abs(got[i] - want[i]));
  EXPECT_LE(worst, tolerance);
}

void check(const Shape& s, float tolerance = 2e-6f) {
  const Input in(s, 37);
  expect_near(run(s, in, {37}), expected(s, in), tolerance);
}

TEST(RefAttention, GroupedHeadsWithNeoxRope) { check({}); }

TEST(RefAttention, InterleavedRope) {
  Shape s;
  s.rope.interleaved = true;
  check(s);
}

TEST(RefAttention, PartialRopeOfBothStylesWithMagnitude) {
  for (bool interleaved : {false, true}) {
    Shape s;
    s.rope = {4, interleaved, {1.0f, 0.2f}, 1.3f, {}};
    check(s);
  }
}

TEST(RefAttention, NoRope) {
  Shape s;
  s.rope = {};
  check(s);
}

TEST(RefAttention, NormsComeBeforeRope) {
  Shape s;
  s.norms = true;
  s.scale = 2.0f;
  check(s, 4e-6f);
}

TEST(RefAttention, WindowSeesThatManyPositionsWithItself) {
  for (int window : {1, 5, 16, 36, 37, 100}) {
    Shape s;
    s.window = window;
    check(s);
  }
}

TEST(RefAttention, Softcap) {
  Shape s;
  s.scale = 3.0f;
  s.softcap = 2.0f;
  check(s);
}

TEST(RefAttention, MropeSectionsTakeTheirOwnPositions) {
  for (bool interleaved : {false, true}) {
    Shape s;
    s.rope.interleaved = interleaved;
    s.rope.sections = {1, 2, 1};
    Input in(s, 20);
    for (int i = 0; i < 20; ++i) in.positions.push_back((i * 7) % 11);
    for (int i = 0; i < 20; ++i) in.positions.push_back((i * 5) % 13);
    expect_near(run(s, in, {20}), expected(s, in), 2e-6f);
    Input text(s, 20);  // one row of positions: all sections take it
    expect_near(run(s, text, {20}), expected(s, text), 2e-6f);
  }
}

TEST(RefAttention, StoredTypesCostWhatTheyRound) {
  Shape s;
  const Input in(s, 37);
  const std::vector<float> exact = expected(s, in);
  for (auto [type, least, most] : {std::tuple{KvType::f16, 1e-6f, 0.0025f}, std::tuple{KvType::bf16, 1e-5f, 0.02f},
                                   std::tuple{KvType::q8, 1e-5f, 0.03f}, std::tuple{KvType::q4, 1e-3f, 0.6f}}) {
    s.type = type;
    const std::vector<float> got = run(s, in, {37});
    float worst = 0.0f;
    for (size_t i = 0; i < got.size(); ++i) worst = std::max(worst, std::abs(got[i] - exact[i]));
    EXPECT_GT(worst, least);
    EXPECT_LT(worst, most);
  }
}

TEST(RefAttention, ChunksGiveTheSameBits) {
  for (KvType type : kKvTypes) {
    Shape s;
    s.type = type;
    s.window = 20;
    const Input in(s, 37);
    const std::vector<float> whole = run(s, in, {37});
    EXPECT_EQ(run(s, in, {16, 16, 5}), whole);
    EXPECT_EQ(run(s, in, {1, 2, 30, 4}), whole);
  }
}

TEST(RefAttention, TwoSequencesInOneBatchKeepTheirOwnPasts) {
  Shape s;
  const Input in(s, 6);
  const std::vector<float> alone = run(s, in, {6});
  RefFixture ref;
  const int rope = ref->add_rope(s.rope);
  const KvLayerSpec layer{KvLayerSpec::Kind::kv, s.kv_heads, s.key_dim, s.value_dim, s.type};
  const std::unique_ptr<KvStore> store = ref->make_kv({&layer, 1}, 2);
  const auto twice = [&](const std::vector<float>& values, int64_t cols) {
    std::vector<float> all = values;
    all.insert(all.end(), values.begin(), values.end());
    return ref.buffer(12, cols, all);
  };
  Buffer q = twice(in.q, s.heads * s.key_dim), k = twice(in.k, s.kv_heads * s.key_dim),
         v = twice(in.v, s.kv_heads * s.value_dim), out = ref.buffer(12, s.heads * s.value_dim);
  const int32_t first[] = {1}, second[] = {0};
  const KvSegment segments[] = {{first, 0, 0, 6}, {second, 0, 6, 6}};
  std::vector<int32_t> positions = in.positions;
  positions.insert(positions.end(), in.positions.begin(), in.positions.end());
  ref->begin_step(12, positions);
  AttentionArgs args{};
  args.rows = 12, args.q = &q, args.k = &k, args.v = &v;
  args.rope = rope;
  args.heads = s.heads, args.kv_heads = s.kv_heads, args.key_dim = s.key_dim, args.value_dim = s.value_dim;
  args.scale = s.scale;
  args.kv = {store.get(), 0, segments};
  args.out = &out;
  ref->attention(args);
  std::vector<float> both = alone;
  both.insert(both.end(), alone.begin(), alone.end());
  EXPECT_EQ(ref.read(out), both);
}

TEST(RefKv, BlocksCopyAndTravel) {
  RefFixture ref;
  const KvLayerSpec layers[] = {{KvLayerSpec::Kind::kv, 2, 8, 6, KvType::q8},
                                {KvLayerSpec::Kind::latent, 1, 12, 8, KvType::bf16}};
  // 16 tokens: two heads of (8 + 4) + (6 + 4) bytes, and one latent row of 24.
  EXPECT_EQ(ref->kv_block_bytes(layers), 16 * (2 * 22 + 24));
  // q4: a head's key and value are 32 padded values of 5 and of 4 bits, and a bfloat16 scale.
  EXPECT_EQ(ref->kv_block_bytes(std::vector<KvLayerSpec>{{KvLayerSpec::Kind::kv, 2, 8, 6, KvType::q4}}),
            16 * 2 * (22 + 18));
  const std::unique_ptr<KvStore> store = ref->make_kv(layers, 3);
  EXPECT_EQ(store->blocks(), 3);
  ASSERT_EQ(store->block_bytes(), ref->kv_block_bytes(layers));
  std::vector<std::byte> bytes(static_cast<size_t>(store->block_bytes())), back(bytes.size());
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 31);
  store->import_block(2, bytes);
  store->copy_block(2, 0);
  store->export_block(0, back);
  EXPECT_EQ(back, bytes);
  store->export_block(1, back);
  EXPECT_THAT(back, testing::Each(std::byte{0}));
}

}  // namespace
}  // namespace autoglm
