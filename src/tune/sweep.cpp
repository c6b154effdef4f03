#include "tune/sweep.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace autoglm {
namespace {

constexpr int64_t kMostSequences = 64;
constexpr int64_t kFirstDepth = 512;
constexpr int64_t kPrompt = 128, kGen = 24;  // of a point

double number(const nlohmann::json& object, const char* key, bool or_null = false) {
  const auto found = object.find(key);
  if (found != object.end() && found->is_number()) return found->get<double>();
  if (or_null && found != object.end() && found->is_null()) return 0;
  fail(Code::bad_file, fmt::format("a measurement lacks '{}'", key));
}

}  // namespace

std::string_view name(SweepOver over) {
  switch (over) {
    case SweepOver::batch:
      return "batch";
    case SweepOver::ctx:
      return "ctx";
    case SweepOver::threads:
      return "threads";
  }
  return "batch";
}

std::vector<SweepOver> parse_sweeps(std::string_view list) {
  std::vector<SweepOver> sweeps;
  for (size_t at = 0; at <= list.size();) {
    const size_t end = std::min(list.find(',', at), list.size());
    const std::string_view word = list.substr(at, end - at);
    at = end + 1;
    const auto known = {SweepOver::batch, SweepOver::ctx, SweepOver::threads};
    const auto* const found = std::ranges::find(known, word, [](SweepOver over) { return name(over); });
    if (found == known.end()) {
      fail(Code::bad_flag, fmt::format("--sweep: '{}' is nothing to sweep over", word.substr(0, 80)),
           "batch, ctx, threads, or several of them with commas between");
    }
    if (std::ranges::find(sweeps, *found) == sweeps.end()) sweeps.push_back(*found);
  }
  return sweeps;
}

std::vector<int64_t> sweep_values(SweepOver over, const Machine& machine, int64_t context) {
  std::vector<int64_t> values;
  if (over == SweepOver::batch) {
    for (int64_t at = 1; at <= kMostSequences; at *= 2) values.push_back(at);
  } else if (over == SweepOver::threads) {
    const auto most = std::max<int64_t>(1, std::ssize(machine.allowed));
    // All of a small machine; of a large one each half as many again.
    for (int64_t at = 1; at < most; at = std::max(at + 1, at * 3 / 2)) values.push_back(at);
    values.push_back(most);
  } else {
    values.push_back(0);
    const int64_t most = context - std::max(kPrompt, kGen);
    for (int64_t at = kFirstDepth; at <= most; at *= 2) values.push_back(at);
    if (most > 0 && most > values.back() + values.back() / 4) values.push_back(most);
  }
  return values;
}

std::vector<std::string> sweep_words(SweepOver over, int64_t at) {
  std::vector<std::string> words = {"--prompt", std::to_string(kPrompt), "--gen", std::to_string(kGen), "--reps", "3"};
  const char* flag = over == SweepOver::batch ? "--batch" : over == SweepOver::ctx ? "--depth" : "--threads";
  words.insert(words.end(), {flag, std::to_string(at)});
  return words;
}

SweepPoint sweep_point(int64_t at, std::string_view json) {
  const nlohmann::json object = nlohmann::json::parse(json, nullptr, false);
  if (!object.is_object()) fail(Code::bad_file, "a measurement is no JSON object");
  SweepPoint point;
  point.at = at;
  point.prefill_tps = number(object, "prefill_tps");
  point.decode_tps = number(object, "decode_tps");
  point.step_ms = number(object, "step_ms");
  point.step_ms_p99 = number(object, "step_ms_p99");
  point.prefill_roof_share = number(object, "prefill_roof_share", true);
  point.decode_roof_share = number(object, "decode_roof_share", true);
  point.peak_rss_bytes = static_cast<int64_t>(number(object, "peak_rss_bytes"));
  return point;
}

std::optional<size_t> knee_of(const std::vector<double>& x, const std::vector<double>& y) {
  constexpr double kStraight = 0.05;
  AUTOGLM_CHECK(x.size() == y.size(), "a curve's points have two coordinates");
  if (x.size() < 3) return std::nullopt;
  const auto [low, high] = std::ranges::minmax(y);
  const double width = x.back() - x.front();
  // Noise around one speed has no knee: it is a part of the speed that must bend.
  if (!(width > 0) || !(high > 0) || high - low < kStraight * high) return std::nullopt;
  std::optional<size_t> best;
  double farthest = kStraight;
  const double slope = (y.back() - y.front()) / (high - low);
  for (size_t i = 1; i + 1 < x.size(); ++i) {
    const double across = (x[i] - x.front()) / width;
    const double distance = std::abs((y[i] - y.front()) / (high - low) - slope * across);
    if (distance > farthest) {
      farthest = distance;
      best = i;
    }
  }
  return best;
}

std::optional<size_t> knee_of(const Sweep& sweep) {
  std::vector<double> x, y;
  for (const SweepPoint& point : sweep.points) {
    const auto at = static_cast<double>(point.at);
    x.push_back(sweep.over == SweepOver::ctx ? at : std::log2(at));
    y.push_back(point.decode_tps);
  }
  return knee_of(x, y);
}

std::string sweep_csv(const std::vector<Sweep>& sweeps) {
  std::string out =
      "sweep,at,prefill_tps,decode_tps,step_ms,step_ms_p99,prefill_roof_share,decode_roof_share,peak_rss_bytes,knee\n";
  for (const Sweep& sweep : sweeps) {
    for (size_t i = 0; i < sweep.points.size(); ++i) {
      const SweepPoint& p = sweep.points[i];
      out += fmt::format("{},{},{:.3f},{:.3f},{:.4f},{:.4f},{:.4f},{:.4f},{},{}\n", name(sweep.over), p.at,
                         p.prefill_tps, p.decode_tps, p.step_ms, p.step_ms_p99, p.prefill_roof_share,
                         p.decode_roof_share, p.peak_rss_bytes, sweep.knee == i ? 1 : 0);
    }
  }
  return out;
}

}  // namespace autoglm
