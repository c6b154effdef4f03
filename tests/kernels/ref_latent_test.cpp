#include <complex>

#include "ref_support.h"

namespace autoglm {
namespace {

using test::random_values;
using test::RefFixture;

constexpr int kHeads = 3, kNope = 6, kRope = 4, kRank = 10, kValue = 5, kRows = 21;
constexpr float kScale = 0.6f, kEps = 1e-5f;
const std::vector<float> kFrequencies = {1.0f, 0.05f};

struct Weights {
  std::vector<float> k_b = random_values(kHeads * kRank * kNope, 11, 0.5f);   // [head][rank][nope]
  std::vector<float> v_b = random_values(kHeads * kValue * kRank, 12, 0.5f);  // [head][value][rank]
  std::vector<float> norm = random_values(kRank, 13);
  std::vector<float> q = random_values(kRows * kHeads * (kNope + kRope), 14);
  std::vector<float> latent = random_values(kRows * (kRank + kRope), 15);
};

std::vector<float> run(const Weights& w, const std::vector<int64_t>& chunks, KvType type) {
  RefFixture ref;
  const int rope = ref->add_rope({kRope, true, kFrequencies, 1.0f, {}});
  const Weight k_b = ref.weight(w.k_b, kRank, kNope, kHeads), v_b = ref.weight(w.v_b, kValue, kRank, kHeads);
  const Norm norm{ref.buffer(1, kRank, w.norm), kEps};
  const KvLayerSpec layer{KvLayerSpec::Kind::latent, 1, kRank + kRope, kRank, type};
  const std::unique_ptr<KvStore> store = ref->make_kv({&layer, 1}, 3);
  const int32_t blocks[] = {2, 0};
  std::vector<float> result;
  int64_t past = 0;
  for (int64_t rows : chunks) {
    const auto part = [&](const std::vector<float>& values, int64_t cols) {
      return ref.buffer(rows, cols, {values.begin() + past * cols, values.begin() + (past + rows) * cols});
    };
    Buffer q = part(w.q, kHeads * (kNope + kRope)), latent = part(w.latent, kRank + kRope);
    Buffer out = ref.buffer(rows, kHeads * kValue);
    std::vector<int32_t> positions;
    for (int64_t r = 0; r < rows; ++r) positions.push_back(static_cast<int32_t>(past + r));
    const KvSegment segment{blocks, past, 0, rows};
    ref->begin_step(rows, positions);
    LatentAttentionArgs args{};
    args.rows = rows, args.q = &q, args.latent = &latent, args.latent_norm = &norm, args.k_b = &k_b, args.v_b = &v_b;
    args.rope = rope;
    args.heads = kHeads, args.nope = kNope, args.rope_dims = kRope, args.kv_rank = kRank, args.value_dim = kValue;
    args.scale = kScale;
    args.kv = {store.get(), 0, {&segment, 1}};
    args.out = &out;
    ref->latent_attention(args);
    const std::vector<float> values = ref.read(out);
    result.insert(result.end(), values.begin(), values.end());
    past += rows;
  }
  return result;
}

using Vector = std::vector<double>;

Vector turned(const float* values, int position) {
  Vector out(values, values + kRope);
  for (size_t i = 0; i < kRope / 2; ++i) {
    const std::complex<double> z =
        std::complex<double>(out[2 * i], out[2 * i + 1]) * std::polar(1.0, position * double{kFrequencies[i]});
    out[2 * i] = z.real(), out[2 * i + 1] = z.imag();
  }
  return out;
}

/// The expanded form: every position's latent row becomes a key and a value for each head.
std::vector<float> unabsorbed(const Weights& w) {
  std::vector<float> out;
  for (int r = 0; r < kRows; ++r) {
    for (int h = 0; h < kHeads; ++h) {
      const float* q = w.q.data() + (r * kHeads + h) * (kNope + kRope);
      const Vector q_rope = turned(q + kNope, r);
      Vector sum(kValue);
      double total = 0.0;
      for (int p = 0; p <= r; ++p) {
        const float* row = w.latent.data() + p * (kRank + kRope);
        double mean = 0.0;
        for (int c = 0; c < kRank; ++c) mean += double{row[c]} * row[c] / kRank;
        Vector latent(kRank), key(kNope), value(kValue);
        for (size_t c = 0; c < kRank; ++c) latent[c] = row[c] / std::sqrt(mean + kEps) * w.norm[c];
        for (size_t d = 0; d < kNope; ++d) {
          for (size_t c = 0; c < kRank; ++c) key[d] += w.k_b[(h * kRank + c) * kNope + d] * latent[c];
        }
        for (size_t d = 0; d < kValue; ++d) {
          for (size_t c = 0; c < kRank; ++c) value[d] += w.v_b[(h * kValue + d) * kRank + c] * latent[c];
        }
        const Vector k_rope = turned(row + kRank, p);
        double score = 0.0;
        for (size_t d = 0; d < kNope; ++d) score += q[d] * key[d];
        for (size_t d = 0; d < kRope; ++d) score += q_rope[d] * k_rope[d];
        const double weight = std::exp(score * kScale);
        total += weight;
        for (size_t d = 0; d < kValue; ++d) sum[d] += weight * value[d];
      }
      for (double v : sum) out.push_back(static_cast<float>(v / total));
    }
  }
  return out;
}

TEST(RefLatent, AbsorbedEqualsUnabsorbed) {
  const Weights w;
  const std::vector<float> got = run(w, {kRows}, KvType::f32), want = unabsorbed(w);
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], want[i], 5e-6) << i;
}

TEST(RefLatent, ChunksGiveTheSameBitsAndTypesStayNear) {
  const Weights w;
  for (KvType type : kKvTypes) {
    const std::vector<float> whole = run(w, {kRows}, type);
    EXPECT_EQ(run(w, {16, 1, 4}, type), whole);
    const std::vector<float> want = unabsorbed(w);
    for (size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(whole[i], want[i], type == KvType::q4 ? 0.7 : 0.1) << i;
  }
}

}  // namespace
}  // namespace autoglm
