#include "base/zone.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "base/trace_events.h"

namespace autoglm {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_now() { return std::chrono::duration<double>(Clock::now().time_since_epoch()).count(); }

void spend(double seconds) {
  const double end = seconds_now() + seconds;
  while (seconds_now() < end) {
  }
}

TEST(Zones, HaveNamesOfTheirOwn) {
  std::set<std::string_view> names;
  for (size_t i = 0; i < kZones; ++i) names.insert(name(static_cast<Zone>(i)));
  EXPECT_EQ(names.size(), kZones);
  EXPECT_FALSE(names.contains(""));
  EXPECT_EQ(name(Zone::idle), "idle");
  EXPECT_EQ(name(Zone::norm_qkv), "norm_qkv");
  EXPECT_EQ(name(Zone::pool), "pool");
}

TEST(Zones, TileAThreadsTime) {
  const double begin = seconds_now();
  ZoneClock clock("test");
  const ZoneClockScope scope(clock);
  {
    ZoneStamp zone(Zone::plan);
    spend(0.01);
    {
      const ZoneStamp inner(Zone::sample);
      spend(0.02);
    }
    spend(0.01);
    zone.next(Zone::head);
    spend(0.03);
  }
  spend(0.005);
  const ZoneTotals totals = clock.totals();
  const double whole = seconds_now() - begin;
  EXPECT_GE(totals.of(Zone::plan), 0.0199);  // without what is inside it
  EXPECT_GE(totals.of(Zone::sample), 0.0199);
  EXPECT_GE(totals.of(Zone::head), 0.0299);
  EXPECT_GE(totals.of(Zone::other), 0.0049);
  EXPECT_LE(totals.of(Zone::plan) + 0.055, whole);
  EXPECT_NEAR(totals.sum(), whole, 1e-3 * whole + 1e-4);
  EXPECT_EQ(totals.calls.at(static_cast<size_t>(Zone::plan)), 1);
  EXPECT_EQ(totals.calls.at(static_cast<size_t>(Zone::sample)), 1);
  EXPECT_EQ(totals.calls.at(static_cast<size_t>(Zone::head)), 1);
  EXPECT_EQ(totals.stamps(), 3);
}

TEST(Zones, AThreadWithoutAClockIsNotTimed) {
  ZoneClock clock("test");
  {
    const ZoneClockScope scope(clock);
    std::thread([] {
      ZoneStamp zone(Zone::plan);
      zone.next(Zone::head);
    }).join();
  }
  const ZoneStamp after(Zone::sample);  // the scope has ended
  EXPECT_EQ(clock.totals().stamps(), 0);
}

TEST(Zones, HistoryTellsWhatCameAfterWhat) {
  ZoneClock clock("test", 16);
  const ZoneClockScope scope(clock);
  {
    ZoneStamp zone(Zone::plan);
    spend(0.002);
    zone.next(Zone::attention);
    spend(0.003);
  }
  std::vector<ZoneSpan> spans = clock.spans(100);
  ASSERT_EQ(spans.size(), 3U);
  EXPECT_EQ(spans[0].zone, Zone::other);
  EXPECT_EQ(spans[1].zone, Zone::plan);
  EXPECT_EQ(spans[2].zone, Zone::attention);
  EXPECT_GE(spans[2].end - spans[2].begin, 0.0029);
  for (size_t i = 1; i < spans.size(); ++i) EXPECT_DOUBLE_EQ(spans[i].begin, spans[i - 1].end);
  EXPECT_TRUE(clock.spans(-1).empty()) << "nothing ends in the future";
  for (int i = 0; i < 100; ++i) const ZoneStamp zone(Zone::head);
  spans = clock.spans(100);
  EXPECT_LE(spans.size(), 16U);
  EXPECT_GE(spans.size(), 13U);
  for (const ZoneSpan& span : spans) EXPECT_LE(span.begin, span.end);
}

// Under TSan, too: who reads while another writes sees a whole state, and time that never goes back.
TEST(Zones, AreReadWhileTheyAreWritten) {
  ZoneClock clock("test", 64);
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    const ZoneClockScope scope(clock);
    ZoneStamp zone(Zone::plan);
    while (!stop.load(std::memory_order_relaxed)) {
      zone.next(Zone::attention);
      const ZoneStamp inner(Zone::sample);
    }
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  ZoneTotals before = clock.totals();
  for (int i = 0; i < 2000; ++i) {
    const ZoneTotals now = clock.totals();
    const ZoneTotals work = now - before;
    EXPECT_GE(*std::ranges::min_element(work.calls), 0);
    EXPECT_LE(
        std::abs(now.calls.at(static_cast<size_t>(Zone::attention)) - now.calls.at(static_cast<size_t>(Zone::sample))),
        1);
    for (const ZoneSpan& span : clock.spans(1)) {
      EXPECT_LE(span.begin, span.end);
      EXPECT_TRUE(span.zone == Zone::plan || span.zone == Zone::attention || span.zone == Zone::sample ||
                  span.zone == Zone::other);
    }
    before = now;
  }
  stop.store(true);
  writer.join();
}

TEST(Zones, CostIsMeasured) {
  const double cost = measure_zone_cost();
  EXPECT_GT(cost, 0);
  EXPECT_LT(cost, 1e-4) << "a stamp must not enter the kernel";
}

TEST(TraceEvents, AreWhatPerfettoReads) {
  ZoneClock clock("engine");
  {
    const ZoneClockScope scope(clock);
    ZoneStamp zone(Zone::plan);
    spend(0.001);
    zone.next(Zone::idle);
    spend(0.001);
  }
  const TraceTrack tracks[] = {track_of(clock, 10),
                               {.group = "requests", .name = "1 /v1/completions", .spans = {{"queue", 5.0, 5.5}}}};
  const auto json = nlohmann::json::parse(trace_events_json(tracks));
  std::vector<std::string> spans;
  std::set<int> processes;
  for (const auto& event : json.at("traceEvents")) {
    processes.insert(event.at("pid").get<int>());
    if (event.at("ph") == "M") continue;
    EXPECT_EQ(event.at("ph"), "X");
    EXPECT_GE(event.at("ts").get<double>(), 0);
    EXPECT_TRUE(event.contains("tid"));
    spans.push_back(event.at("name").get<std::string>());
    if (spans.back() == "plan") EXPECT_GE(event.at("dur").get<double>(), 999);  // microseconds
  }
  EXPECT_EQ(spans, (std::vector<std::string>{"other", "plan", "queue"})) << "idle time is no span";
  EXPECT_EQ(processes.size(), 2U);
  EXPECT_EQ(nlohmann::json::parse(trace_events_json({})).at("traceEvents").size(), 0U);
}

}  // namespace
}  // namespace autoglm
