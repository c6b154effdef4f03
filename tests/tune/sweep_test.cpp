#include "tune/sweep.h"

#include <gtest/gtest.h>

#include <cmath>

#include "support/errors.h"

namespace autoglm {
namespace {

TEST(SweepTest, ReadsItsList) {
  EXPECT_EQ(parse_sweeps("threads,batch,threads"), (std::vector{SweepOver::threads, SweepOver::batch}));
  EXPECT_ERROR(parse_sweeps("batch,,ctx"), Code::bad_flag, "''");
  EXPECT_ERROR(parse_sweeps("depth"), Code::bad_flag, "'depth'");
}

TEST(SweepTest, ValuesDoubleUpToWhatThereIs) {
  Machine machine;
  for (int cpu = 0; cpu < 6; ++cpu) machine.allowed.push_back({cpu, cpu / 2, 0});
  EXPECT_EQ(sweep_values(SweepOver::threads, machine, 0), (std::vector<int64_t>{1, 2, 3, 4, 6}));
  EXPECT_EQ(sweep_values(SweepOver::batch, machine, 0).back(), 64);
  EXPECT_EQ(sweep_values(SweepOver::ctx, machine, 2048), (std::vector<int64_t>{0, 512, 1024, 1920}));
  EXPECT_EQ(sweep_values(SweepOver::ctx, machine, 100), (std::vector<int64_t>{0}));
}

TEST(SweepTest, TheKneeIsWhereACurveBends) {
  std::vector<double> x, saturating, straight, flat;
  for (int i = 0; i <= 6; ++i) {
    x.push_back(i);
    saturating.push_back(i < 3 ? 100.0 * (i + 1) : 400.0 + i);
    straight.push_back(100.0 * i);
    flat.push_back(500.0 + (i % 2));
  }
  EXPECT_EQ(knee_of(x, saturating), 3u);
  EXPECT_EQ(knee_of(x, straight), std::nullopt);
  EXPECT_EQ(knee_of(x, flat), std::nullopt);
  EXPECT_EQ(knee_of({1, 2}, {1, 5}), std::nullopt);
  // Falling: good until 2, then steep.
  EXPECT_EQ(knee_of({0, 1, 2, 3, 4}, {100, 98, 95, 50, 10}), 2u);
}

TEST(SweepTest, ReadsBenchAndWritesCsv) {
  const SweepPoint point = sweep_point(8, R"({"prefill_tps": 100, "decode_tps": 50.5, "step_ms": 20, "step_ms_p99": 25,
    "prefill_roof_share": 0.5, "decode_roof_share": null, "peak_rss_bytes": 1000})");
  EXPECT_EQ(point.step_ms_p99, 25);
  EXPECT_EQ(point.decode_roof_share, 0);
  EXPECT_ERROR(sweep_point(8, "{\"prefill_tps\": 1}"), Code::bad_file, "decode_tps");
  const std::string csv = sweep_csv({{.over = SweepOver::batch, .points = {point, point}, .knee = 1, .ended = {}}});
  EXPECT_NE(csv.find("\nbatch,8,100.000,50.500,20.0000,25.0000,0.5000,0.0000,1000,0\n"), std::string::npos) << csv;
  EXPECT_TRUE(csv.ends_with(",1\n"));
}

}  // namespace
}  // namespace autoglm
