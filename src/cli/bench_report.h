// The figures of a benchmark as JSON and as text.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/bench_account.h"

namespace autoglm {

/// One entry a round: the roofs (none with --no-probe), then what was measured right after them.
struct BenchRounds {
  std::vector<Roofs> roofs;
  std::vector<double> prefill_tps;  // empty with --prompt 0
  std::vector<double> decode_tps;   // empty with --gen 0
  std::vector<double> step_ms;      // of every step
  std::vector<double> first_token_ms;
  ZoneTotals prefill_zones{};  // of all rounds
  ZoneTotals decode_zones{};
  double zone_seconds = 0;  // what a stamp costs
};

/// What the rounds are judged by.
struct BenchFacts {
  BenchShape shape;
  TokenWork work;
  StepBytes bytes;
  Arithmetic mix;
  double huge_share = 0;  // of the weights that lies on huge pages
};

double median(std::vector<double> values);

/// prefill_tps, decode_tps, int8_gops, read_gbps and both shares as median, _min and _max over the rounds (null where
/// nothing was measured or probed), and what they were made from. A share is that of a round in the roof of the same
/// round.
/// `decode_zones` and `prefill_zones` are milliseconds of worker 0 by zone, of a step and of a round's prompts: they
/// sum to its time. `zone_share` is the part of a step that its stamps cost.
nlohmann::json bench_json(const BenchRounds& rounds, const BenchFacts& facts);

/// The same for people, from the finished object.
std::string bench_text(const nlohmann::json& object);

}  // namespace autoglm
