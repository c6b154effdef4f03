// The plan: what is predicted, and how it is made to fit.
#include "optimize/effort.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace autoglm {
namespace {

WorkSize smollm2() {
  WorkSize size;
  for (int layer = 0; layer < 30; ++layer) {
    size.add_layer_matrix(Role::q, {1, 576, 576});
    size.add_layer_matrix(Role::k, {1, 192, 576});
    size.add_layer_matrix(Role::v, {1, 192, 576});
    size.add_layer_matrix(Role::attention_output, {1, 576, 576});
    size.add_layer_matrix(Role::gate, {1, 1536, 576});
    size.add_layer_matrix(Role::up, {1, 1536, 576});
    size.add_layer_matrix(Role::down, {1, 576, 1536});
  }
  size.head_values = 28'000'000;
  size.layers = 30;
  size.hidden = 576;
  size.vocabulary = 49152;
  size.source_bytes = 270'000'000;
  size.own_calibration = size.own_evaluation = true;
  size.request_seconds = 1.2;
  size.int8_gops = 800;
  size.read_gbps = 30;
  size.run_memory = 500'000'000;
  size.evaluation_memory = 800'000'000;
  return size;
}

TEST(Effort, NothingIsGivenUpWhereThereIsTime) {
  const FittedEffort fitted = fit_effort(smollm2(), {}, 36000);
  EXPECT_TRUE(fitted.fits);
  EXPECT_TRUE(fitted.shrunk.empty());
  EXPECT_EQ(fitted.effort.forms, Effort{}.forms);
}

TEST(Effort, EveryBudgetIsKeptOrRefused) {
  Effort before;
  double least = 0;
  for (const double budget : {36000.0, 3600.0, 1200.0, 600.0, 300.0, 200.0, 150.0, 100.0, 60.0, 30.0, 5.0}) {
    const FittedEffort fitted = fit_effort(smollm2(), {}, budget);
    if (fitted.fits) EXPECT_LE(total_seconds(fitted.costs), 0.95 * budget) << budget;
    if (!fitted.fits) {
      const double now = total_seconds(fitted.costs);
      if (least > 0) EXPECT_NEAR(now, least, 1) << "what cannot shrink any more stays the same";
      least = now;
    }
    // Less time never means more work.
    EXPECT_LE(fitted.effort.forms, before.forms) << budget;
    EXPECT_LE(fitted.effort.evaluation_windows, before.evaluation_windows) << budget;
    EXPECT_LE(fitted.effort.calibration_windows, before.calibration_windows) << budget;
    EXPECT_GE(fitted.effort.forms, 1);
    before = fitted.effort;
  }
  EXPECT_GT(least, 0) << "5 s are too short";
}

TEST(Effort, WhatWasShrunkIsSaidInBothLanguages) {
  const FittedEffort fitted = fit_effort(smollm2(), {}, 200);
  ASSERT_FALSE(fitted.shrunk.empty());
  for (const Shrunk& shrunk : fitted.shrunk) {
    EXPECT_LT(shrunk.to, shrunk.from);
    EXPECT_FALSE(shrunk_words(shrunk, Language::en).empty());
    EXPECT_NE(shrunk_words(shrunk, Language::en), shrunk_words(shrunk, Language::zh));
  }
  const auto forms = std::ranges::count(fitted.shrunk, Shrunk::What::forms, &Shrunk::what);
  EXPECT_LE(forms, 1) << "one line a thing";
}

TEST(Effort, StagesThatChangeNoWeightsAreAllThatAQuantizedSourceGets) {
  WorkSize size = smollm2();
  size.settings_only = true;
  const FittedEffort fitted = fit_effort(size, {}, 600);
  EXPECT_EQ(fitted.costs[static_cast<size_t>(Stage::forms)].seconds, 0);
  EXPECT_EQ(fitted.costs[static_cast<size_t>(Stage::sensitivity)].seconds, 0);
  EXPECT_GT(fitted.costs[static_cast<size_t>(Stage::comparison)].seconds, 0);
}

TEST(Effort, MoreWorkIsPredictedToTakeLonger) {
  const WorkSize size = smollm2();
  const double before = total_seconds(predict(size, {}, 600));
  for (const auto change :
       {+[](WorkSize& s) { s.add_layer_matrix(Role::v, {1, 4096, 4096}); }, +[](WorkSize& s) { s.int8_gops /= 2; },
        +[](WorkSize& s) { s.request_seconds *= 2; }, +[](WorkSize& s) { s.layers *= 2; }}) {
    WorkSize larger = size;
    change(larger);
    EXPECT_GT(total_seconds(predict(larger, {}, 600)), before);
  }
  EXPECT_GT(predict(size, {}, 600)[static_cast<size_t>(Stage::forms)].disk, size.source_bytes);
}

TEST(Effort, WideInputsCostGptqWithTheirCube) {
  EXPECT_EQ(smollm2().linear_values, 106'168'320);
  // Of one window, so that the sums of its products are little beside their factor.
  const Effort gptq{.calibration_windows = 1, .method = QuantizeMethod::gptq};
  const Effort importance{.calibration_windows = 1, .method = QuantizeMethod::importance};
  const auto beyond = [&](const WorkSize& size) { return form_seconds(size, gptq) - form_seconds(size, importance); };
  const auto with = [&](Role role, int64_t rows, int64_t cols) {
    WorkSize size = smollm2();
    size.add_layer_matrix(role, {1, rows, cols});
    return beyond(size) - beyond(smollm2());
  };
  EXPECT_GT(with(Role::down, 1, 32768), 7 * with(Role::down, 1, 16384));
  EXPECT_GT(with(Role::gate, 1, 16384), 100 * with(Role::up, 1, 16384)) << "up reads what gate reads";
}

// GPTQ of wide inputs takes most of the time; the room that it leaves is not left empty.
TEST(Effort, RoomThatOneStepMakesIsUsed) {
  WorkSize wide = smollm2();
  for (int layer = 0; layer < 20; ++layer) wide.add_layer_matrix(Role::down, {1, 2048, 16384});
  int given_up = 0;
  for (double budget = 2000; budget > 300; budget *= 0.9) {
    const FittedEffort fitted = fit_effort(wide, {}, budget);
    if (!fitted.fits || fitted.effort.method == QuantizeMethod::gptq) continue;
    ++given_up;
    for (const Shrunk& shrunk : fitted.shrunk) {
      if (shrunk.what != Shrunk::What::forms || fitted.effort.forms >= 3) continue;
      Effort more = fitted.effort;
      ++more.forms;
      EXPECT_GT(total_seconds(predict(wide, more, budget)), 0.95 * budget) << "room for another form in " << budget;
    }
  }
  EXPECT_GE(given_up, 3);
}

}  // namespace
}  // namespace autoglm
