// The cost model against machines whose costs are known.
#include "engine/step_cost.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace autoglm {
namespace {

/// A machine that takes so long for a step, and steps as a server makes them: decodes, chunks beside them, chunks
/// alone.
struct Machine {
  double fixed = 4e-3, prefill = 4e-4, prefill_depth = 2e-7, decode = 6e-4, decode_depth = 4e-7, logits = 1e-4;
  double speed = 1;
  double noise = 0;  // relative
  uint32_t state = 7;

  double exact(const StepShape& s) const {
    const auto d = [](int64_t n) { return static_cast<double>(n); };
    return (fixed + prefill * d(s.prefill_rows) + prefill_depth * d(s.prefill_depth) + decode * d(s.decode_rows) +
            decode_depth * d(s.decode_depth) + logits * d(s.logit_rows)) /
           speed;
  }
  int64_t random(int64_t n) {
    state = state * 1664525U + 1013904223U;
    return static_cast<int64_t>(state >> 8) % n;
  }
  double measured(const StepShape& s) {
    return exact(s) * (1 + noise * (static_cast<double>(random(2001)) / 1000.0 - 1));
  }
  StepShape step() {
    StepShape shape;
    const int64_t kind = random(3);
    for (int64_t i = kind < 2 ? 1 + random(8) : 0; i > 0; --i) shape.add_decode(random(3000));
    if (kind > 0) shape.add_prefill(random(3000), kind == 2 ? 256 : 16 + random(64), random(2) == 0);
    return shape;
  }
  void teach(StepCostModel& cost, int steps) {
    for (int i = 0; i < steps; ++i) {
      const StepShape shape = step();
      cost.observe(shape, measured(shape));
    }
  }
  /// The mean relative error over fresh steps.
  double error(const StepCostModel& cost) {
    double sum = 0;
    for (int i = 0; i < 200; ++i) {
      const StepShape shape = step();
      sum += std::abs(cost.predict(shape) / exact(shape) - 1);
    }
    return sum / 200;
  }
};

StepShape decodes(int64_t n, int64_t depth) {
  StepShape shape;
  for (int64_t i = 0; i < n; ++i) shape.add_decode(depth);
  return shape;
}

TEST(StepShape, CountsRowsAndTheirDepths) {
  StepShape shape;
  shape.add_prefill(10, 4, true);  // depths 10 11 12 13
  EXPECT_EQ(shape.prefill_rows, 4);
  EXPECT_EQ(shape.prefill_depth, 46);
  EXPECT_EQ(shape.logit_rows, 1);
  shape.add_decode(7, 3);  // 7 8 9
  EXPECT_EQ(shape.decode_rows, 3);
  EXPECT_EQ(shape.decode_depth, 24);
  EXPECT_EQ(shape.logit_rows, 4);
}

TEST(StepCostModel, LearnsAMachineAndAnyOther) {
  for (const double speed : {0.01, 1.0, 100.0}) {
    Machine machine;
    machine.speed = speed;
    StepCostModel cost;
    machine.teach(cost, 100);
    EXPECT_LT(machine.error(cost), 0.02) << speed;
  }
}

TEST(StepCostModel, IsOfUseAfterOneStep) {
  Machine machine;
  StepCostModel cost;
  StepShape first;
  first.add_prefill(0, 200, true);
  cost.observe(first, machine.exact(first));
  EXPECT_NEAR(cost.predict(first), machine.exact(first), 0.05 * machine.exact(first));
  StepShape half;
  half.add_prefill(0, 100, true);
  EXPECT_NEAR(cost.predict(half), machine.exact(half), 0.2 * machine.exact(half));
}

TEST(StepCostModel, NoiseAveragesOut) {
  Machine machine;
  machine.noise = 0.2;
  StepCostModel cost;
  machine.teach(cost, 400);
  EXPECT_LT(machine.error(cost), 0.06);
}

TEST(StepCostModel, FollowsAMachineThatChangesItsSpeed) {
  Machine machine;
  machine.noise = 0.05;
  StepCostModel cost;
  machine.teach(cost, 300);
  for (const double speed : {0.4, 1.0, 2.5}) {
    machine.speed = speed;
    machine.teach(cost, 60);
    EXPECT_LT(machine.error(cost), 0.1) << speed;
  }
}

TEST(StepCostModel, OutliersDoLittle) {
  Machine machine;
  machine.noise = 0.05;
  StepCostModel cost;
  machine.teach(cost, 200);
  const StepShape shape = decodes(4, 500);
  const double before = cost.predict(shape);
  cost.observe(shape, 50 * before);
  EXPECT_LT(cost.predict(shape), 1.25 * before) << "one bad moment";
  for (int i = 0; i < 400; ++i) {
    const StepShape next = machine.step();
    cost.observe(next, machine.measured(next) * (machine.random(20) == 0 ? 8 : 1));
  }
  EXPECT_LT(machine.error(cost), 0.15) << "one step in twenty takes eight times as long";
}

TEST(StepCostModel, DecodingForLongForgetsNothingAboutPrompts) {
  Machine machine;
  StepCostModel cost;
  machine.teach(cost, 100);
  for (int i = 0; i < 5000; ++i) {
    const StepShape shape = decodes(1, 100 + i % 900);
    cost.observe(shape, machine.exact(shape));
  }
  StepShape mixed = decodes(1, 500);
  mixed.add_prefill(0, 64, false);
  EXPECT_NEAR(cost.predict(mixed), machine.exact(mixed), 0.1 * machine.exact(mixed));
}

TEST(StepCostModel, MoreWorkNeverCostsLess) {
  Machine machine;
  machine.noise = 0.5;  // enough to make an unbounded fit absurd
  StepCostModel cost;
  for (int i = 0; i < 300; ++i) {
    const StepShape shape = machine.step();
    cost.observe(shape, machine.measured(shape));
    double last = 0;
    for (int64_t rows = 0; rows <= 256; rows += 32) {
      StepShape more = decodes(3, 1000);
      if (rows > 0) more.add_prefill(100, rows, false);
      if (rows == 0) continue;  // without a prompt it is a step of the other kind
      ASSERT_GE(cost.predict(more), last);
      last = cost.predict(more);
    }
    ASSERT_GT(cost.predict(decodes(1, 0)), 0);
  }
}

TEST(StepCostModel, NonsenseIsNotLearned) {
  Machine machine;
  StepCostModel cost;
  machine.teach(cost, 50);
  const StepShape shape = decodes(2, 100);
  const double before = cost.predict(shape);
  for (const double bad : {0.0, -1.0, std::nan(""), static_cast<double>(INFINITY)}) cost.observe(shape, bad);
  EXPECT_EQ(cost.predict(shape), before);
}

TEST(StepCostModel, TheSameStepsTeachTheSame) {
  Machine a;
  Machine b;
  a.noise = b.noise = 0.3;
  StepCostModel first;
  StepCostModel second;
  a.teach(first, 200);
  b.teach(second, 200);
  EXPECT_EQ(first.predict(decodes(3, 77)), second.predict(decodes(3, 77)));
}

}  // namespace
}  // namespace autoglm
