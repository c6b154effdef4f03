// What a timing zone costs: a step goes through about five a layer. `autoglm bench --json` has the same as a share of a
// token's time (zone_share).   usage: zone_bench
#include <benchmark/benchmark.h>

#include "base/zone.h"

namespace autoglm {
namespace {

void next_zone(benchmark::State& state) {
  ZoneClock clock("bench", 1 << 16);
  const ZoneClockScope scope(clock);
  ZoneStamp zone(Zone::other);
  for (auto _ : state) zone.next(Zone::attention);
}
BENCHMARK(next_zone);

void zone_in_a_zone(benchmark::State& state) {
  ZoneClock clock("bench", 1 << 16);
  const ZoneClockScope scope(clock);
  for (auto _ : state) const ZoneStamp zone(Zone::sample);
}
BENCHMARK(zone_in_a_zone);

void without_a_clock(benchmark::State& state) {
  for (auto _ : state) const ZoneStamp zone(Zone::sample);
}
BENCHMARK(without_a_clock);

void read_totals(benchmark::State& state) {
  const ZoneClock clock("bench", 1 << 16);
  for (auto _ : state) benchmark::DoNotOptimize(clock.totals());
}
BENCHMARK(read_totals);

}  // namespace
}  // namespace autoglm

BENCHMARK_MAIN();
