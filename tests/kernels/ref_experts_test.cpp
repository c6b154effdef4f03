#include <limits>

#include "ref_support.h"

namespace autoglm {
namespace {

using test::RefFixture;

// The first columns of x are the router's logits (its matrix is the identity) and the last is 1. Expert e adds its
// weight to column e of the residual: gate and up see only the last column, and down undoes silu(1).
struct Machine {
  explicit Machine(int experts) : count(experts), cols(experts + 1) {
    const auto n = static_cast<size_t>(count), width = static_cast<size_t>(cols);
    std::vector<float> identity(n * width), constant(n * width), back(n * width);
    for (size_t e = 0; e < n; ++e) {
      identity[e * width + e] = 1.0f;
      constant[e * width + width - 1] = 1.0f;
      back[e * width + e] = 1.0f / 0.731058578630005f;
    }
    router = ref.weight(identity, count, cols);
    gate = ref.weight(constant, 1, cols, count);
    up = ref.weight(constant, 1, cols, count);
    down = ref.weight(back, cols, 1, count);
  }

  /// What each expert was weighed with.
  std::vector<float> weigh(std::vector<float> logits, const RouterSpec& spec,
                           const std::vector<float>& correction = {}) {
    logits.push_back(1.0f);
    const Buffer x = ref.buffer(1, cols, logits);
    const Buffer bias = correction.empty() ? Buffer{} : ref.buffer(1, count, correction);
    Buffer residual = ref.buffer(1, cols, std::vector<float>(static_cast<size_t>(cols), 0.0f));
    ref.begin(1);
    ExpertsArgs args{};
    args.rows = 1;
    args.x = &x;
    args.router = &router;
    args.correction = correction.empty() ? nullptr : &bias;
    args.spec = spec;
    args.gate = &gate;
    args.up = &up;
    args.down = &down;
    args.residual = &residual;
    if (shared) args.shared_gate = &shared, args.shared_up = &shared, args.shared_down = &shared_down;
    if (post.weight) args.post_norm = &post;
    ref->experts(args);
    std::vector<float> out = ref.read(residual);
    last = out.back();
    out.pop_back();
    return out;
  }

  RefFixture ref;
  int count;
  int64_t cols;
  Weight router, gate, up, down, shared, shared_down;
  Norm post;
  float last = 0.0f;  // the column that no routed expert writes
};

RouterSpec spec(int experts, int top_k, bool sigmoid, bool normalize, float scale = 1.0f) {
  RouterSpec s;
  s.experts = experts;
  s.top_k = top_k;
  s.sigmoid = sigmoid;
  s.normalize = normalize;
  s.scale = scale;
  return s;
}

auto near(std::initializer_list<float> values) {
  return testing::Pointwise(testing::FloatNear(2e-6f), std::vector<float>(values));
}

float sigmoid(float x) { return 1.0f / (1.0f + std::exp(-x)); }

TEST(RefExperts, SigmoidScoresScaledWithAndWithoutNormalizing) {
  Machine m(4);
  const float a = sigmoid(1), b = sigmoid(2);
  EXPECT_THAT(m.weigh({1, -1, 2, 0}, spec(4, 2, true, false, 2.5f)), near({2.5f * a, 0, 2.5f * b, 0}));
  EXPECT_THAT(m.weigh({1, -1, 2, 0}, spec(4, 2, true, true, 2.5f)),
              near({2.5f * a / (a + b), 0, 2.5f * b / (a + b), 0}));
}

TEST(RefExperts, SoftmaxRunsOverAllExperts) {
  Machine m(3);
  const float e0 = std::exp(0.0f), e1 = std::exp(1.0f), e2 = std::exp(2.0f), all = e0 + e1 + e2;
  EXPECT_THAT(m.weigh({0, 1, 2}, spec(3, 2, false, false)), near({0, e1 / all, e2 / all}));
  EXPECT_THAT(m.weigh({0, 1, 2}, spec(3, 2, false, true)), near({0, e1 / (e1 + e2), e2 / (e1 + e2)}));
}

TEST(RefExperts, TiesGoToTheLowerIndex) {
  Machine m(5);
  EXPECT_THAT(m.weigh({0, 3, 3, 3, 0}, spec(5, 2, true, true)), near({0, 0.5f, 0.5f, 0, 0}));
  EXPECT_THAT(m.weigh({0, 0, 0, 0, 0}, spec(5, 3, false, true)), near({1 / 3.f, 1 / 3.f, 1 / 3.f, 0, 0}));
}

TEST(RefExperts, CorrectionChoosesButDoesNotWeigh) {
  Machine m(3);
  const float a = sigmoid(0), c = sigmoid(-2);
  EXPECT_THAT(m.weigh({0, 2, -2}, spec(3, 2, true, true), {0.5f, -5.0f, 0.5f}), near({a / (a + c), 0, c / (a + c)}));
}

TEST(RefExperts, AGroupCountsByItsTwoBest) {
  Machine m(6);
  RouterSpec s = spec(6, 2, true, false);
  s.groups = 2;
  s.groups_used = 1;
  // Group 0 has the single best expert, group 1 the better pair.
  EXPECT_THAT(m.weigh({3, -3, -3, 1, 1, 2}, s), near({0, 0, 0, sigmoid(1), 0, sigmoid(2)}));
  // Corrections take part in the choice of groups, also negative ones.
  EXPECT_THAT(m.weigh({3, -3, -3, 1, 1, 2}, s, {-1, -1, -1, -2, -2, -2}), near({sigmoid(3), sigmoid(-3), 0, 0, 0, 0}));
}

TEST(RefExperts, SharedExpertAndPostNorm) {
  Machine m(2);
  m.shared = m.ref.weight({0, 0, 1}, 1, 3);
  m.shared_down = m.ref.weight({0, 0, 2 / 0.731058578630005f}, 3, 1);
  EXPECT_THAT(m.weigh({0, -9}, spec(2, 1, true, true)), near({1, 0}));
  EXPECT_NEAR(m.last, 2.0f, 1e-6f);
  m.post = {m.ref.buffer(1, 3, {1, 1, 10}), 0.0f};
  EXPECT_THAT(m.weigh({0, -9}, spec(2, 1, true, true)), near({std::sqrt(3.0f / 5.0f), 0}));
  EXPECT_NEAR(m.last, 20.0f * std::sqrt(3.0f / 5.0f), 1e-5f);
}

TEST(RefExperts, NaNReachesTheResidualAndHarmsNothingElse) {
  Machine m(4);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  RouterSpec s = spec(4, 2, true, true);
  s.groups = 2;
  s.groups_used = 1;
  for (bool sigmoid_scores : {true, false}) {
    s.sigmoid = sigmoid_scores;
    const std::vector<float> out = m.weigh({nan, nan, nan, nan}, s);
    EXPECT_TRUE(std::isnan(out[0]));
  }
}

}  // namespace
}  // namespace autoglm
