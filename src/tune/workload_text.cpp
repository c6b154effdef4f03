#include "tune/workload_text.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <numbers>
#include <span>
#include <string_view>

namespace autoglm {
namespace {

using Words = std::span<const std::string_view>;

constexpr auto kNouns = std::to_array<std::string_view>(
    {"system",   "river",   "engineer", "garden",  "market",    "theory",     "village",  "machine", "teacher",
     "library",  "harvest", "network",  "history", "mountain",  "experiment", "painting", "budget",  "journey",
     "language", "storm",   "contract", "bridge",  "memory",    "recipe",     "computer", "forest",  "question",
     "festival", "station", "island",   "battery", "scientist", "window",     "archive",  "company", "climate"});
constexpr auto kVerbs = std::to_array<std::string_view>(
    {"describes", "changes", "supports", "measures", "replaces", "explains", "follows", "improves", "contains",
     "requires", "produces", "reaches", "connects", "protects", "compares", "limits", "records", "suggests"});
constexpr auto kAdjectives =
    std::to_array<std::string_view>({"small",    "ancient",   "careful",   "electric",  "public",   "quiet",   "modern",
                                     "northern", "simple",    "expensive", "early",     "reliable", "unusual", "green",
                                     "central",  "different", "important", "temporary", "warm",     "complete"});
constexpr auto kPlaces = std::to_array<std::string_view>(
    {"in the north", "after the war", "near the coast", "during the summer", "for many years", "at the university",
     "in most cities", "under pressure", "by the end of the century", "without any help", "since 1974",
     "in 12 of 30 cases"});
constexpr auto kAsks = std::to_array<std::string_view>(
    {"Why does", "How can we tell that", "Explain in simple words how", "What happens when", "Summarize how",
     "Give three reasons why", "Is it true that", "Write a short story in which"});
constexpr auto kNames = std::to_array<std::string_view>(
    {"count", "items", "total", "buffer", "index", "result", "values", "offset", "node", "cache", "entry", "limit"});
constexpr auto kActions =
    std::to_array<std::string_view>({"load", "merge", "update", "find", "parse", "remove", "encode", "check", "sort"});

std::string_view pick(WorkloadRandom& random, Words words) {
  return words[static_cast<size_t>(random.below(std::ssize(words)))];
}

std::string clause(WorkloadRandom& random) {
  return fmt::format("the {} {} {} the {} {}", pick(random, kAdjectives), pick(random, kNouns), pick(random, kVerbs),
                     pick(random, kAdjectives), pick(random, kNouns));
}

}  // namespace

double WorkloadRandom::uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }

int64_t WorkloadRandom::below(int64_t count) { return static_cast<int64_t>(uniform() * static_cast<double>(count)); }

double WorkloadRandom::exponential() { return -std::log1p(-uniform()); }

double WorkloadRandom::lognormal(double median, double sigma) {
  const double radius = std::sqrt(2 * exponential());  // Box and Muller
  return median * std::exp(sigma * radius * std::cos(2 * std::numbers::pi * uniform()));
}

std::string made_sentence(WorkloadRandom& random) {
  std::string text = clause(random);
  text[0] = 'T';
  if (random.below(2) == 0) text += fmt::format(" {}", pick(random, kPlaces));
  if (random.below(3) == 0) text += fmt::format(", and {}", clause(random));
  return text + ". ";
}

std::string made_question(WorkloadRandom& random) {
  return fmt::format("{} {} {}? ", pick(random, kAsks), clause(random), pick(random, kPlaces));
}

std::string made_code(WorkloadRandom& random) {
  const auto a = pick(random, kNames), b = pick(random, kNames), action = pick(random, kActions),
             noun = pick(random, kNouns);
  const int64_t number = random.below(256);
  std::string text = fmt::format("def {}_{}({}, {}={}):\n", action, noun, a, b, number);
  text += fmt::format("    \"\"\"{}\"\"\"\n", made_sentence(random));
  for (int64_t lines = 2 + random.below(5); lines > 0; --lines) {
    const auto c = pick(random, kNames), d = pick(random, kNames);
    switch (random.below(4)) {
      case 0:
        text += fmt::format("    {} = {}.{}_{}({}[{}])\n", c, d, pick(random, kActions), noun, a, random.below(16));
        break;
      case 1:
        text += fmt::format("    for {} in range({}):\n        {} += {} * {}\n", c, random.below(100), d, c, b);
        break;
      case 2:
        text += fmt::format("    if {} is None or len({}) > {}:\n        raise ValueError(\"{} {}\")\n", c, d,
                            random.below(1000), pick(random, kAdjectives), noun);
        break;
      default:
        text += fmt::format("    {}.append(({}, \"{}\"))\n", c, d, pick(random, kNouns));
    }
  }
  return text + fmt::format("    return {}\n\n", a);
}

}  // namespace autoglm
