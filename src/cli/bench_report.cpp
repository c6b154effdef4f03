#include "cli/bench_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "base/ledger.h"
#include "tune/workload_figures.h"

namespace autoglm {
namespace {

void put(nlohmann::json& object, const std::string& key, const std::vector<double>& values) {
  if (values.empty()) {
    object[key] = object[key + "_min"] = object[key + "_max"] = nullptr;
    return;
  }
  object[key] = median(values);
  object[key + "_min"] = *std::ranges::min_element(values);
  object[key + "_max"] = *std::ranges::max_element(values);
}

template <typename F>
std::vector<double> over(const std::vector<Roofs>& rounds, F&& f) {
  std::vector<double> values;
  for (const Roofs& roofs : rounds) values.push_back(f(roofs));
  return values;
}

// Empty where there is no roof to be a share of.
std::vector<double> shares(const std::vector<double>& reached, const std::vector<double>& roofs) {
  std::vector<double> out;
  for (size_t i = 0; i < reached.size() && i < roofs.size(); ++i) {
    if (roofs[i] > 0) out.push_back(reached[i] / roofs[i]);
  }
  return out;
}

std::vector<double> scaled(std::vector<double> values, double factor) {
  for (double& value : values) value *= factor;
  return values;
}

double value(const nlohmann::json& object, const std::string& key) { return object.at(key).get<double>(); }

std::string share_text(const nlohmann::json& object, const std::string& key) {
  if (object.at(key).is_null()) return "";
  return fmt::format("  {:.0f} % ({:.0f} to {:.0f}) of ", 100 * value(object, key), 100 * value(object, key + "_min"),
                     100 * value(object, key + "_max"));
}

std::string rate_text(const nlohmann::json& object, const char* label, const std::string& key) {
  return fmt::format("{:<10}{:>9.1f} tok/s  ({:.1f} to {:.1f})", label, value(object, key), value(object, key + "_min"),
                     value(object, key + "_max"));
}

std::string bytes_text(const nlohmann::json& object, const std::string& key) {
  return format_bytes(static_cast<int64_t>(value(object, key)));
}

// Milliseconds by zone, of one of `count`.
nlohmann::json zones_json(const ZoneTotals& totals, size_t count) {
  nlohmann::json object = nlohmann::json::object();
  if (count == 0) return object;
  for (size_t i = 0; i < kZones; ++i) {
    const auto zone = static_cast<Zone>(i);
    if (totals.calls.at(i) == 0 && zone != Zone::other) continue;
    object[std::string(name(zone))] = 1e3 * totals.seconds.at(i) / static_cast<double>(count);
  }
  return object;
}

// "attention 31 %, gate_up 22 %, ...": the largest first, down to a hundredth.
std::string zones_text(const nlohmann::json& zones) {
  std::vector<std::pair<double, std::string>> parts;
  double sum = 0;
  for (const auto& [zone, ms] : zones.items()) {
    parts.emplace_back(ms.get<double>(), zone);
    sum += ms.get<double>();
  }
  std::ranges::sort(parts, std::greater());
  std::string text;
  for (const auto& [ms, zone] : parts) {
    if (ms < 0.01 * sum) break;
    text += fmt::format("{}{} {:.0f} %", text.empty() ? "" : ", ", zone, 100 * ms / sum);
  }
  return text;
}

std::string peer_text(const nlohmann::json& peer) {
  return fmt::format("{} {}: prefill {} tok/s, decode {} tok/s\n", peer.at("name").get<std::string>(),
                     peer.at("version").get<std::string>(), peer.at("prefill_tps").dump(),
                     peer.at("decode_tps").dump());
}

}  // namespace

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

nlohmann::json bench_json(const BenchRounds& rounds, const BenchFacts& facts) {
  const BenchShape& shape = facts.shape;
  // Both are proportional to the speed.
  const double gops = prefill_gops(facts.work, shape.prompt, 1.0);
  const double gbps = decode_gbps(facts.bytes, shape.batch, 1.0);
  const auto reads = over(rounds.roofs, [&](const Roofs& roofs) { return read_roof(facts.huge_share, roofs); });
  const auto arithmetic = over(rounds.roofs, [&](const Roofs& roofs) { return arithmetic_roof(facts.mix, roofs); });
  nlohmann::json object;
  put(object, "prefill_tps", rounds.prefill_tps);
  put(object, "decode_tps", rounds.decode_tps);
  object["step_ms"] = median(rounds.step_ms);
  object["step_ms_p99"] = percentiles(rounds.step_ms).p99;
  object["first_token_ms"] = median(rounds.first_token_ms);
  object["prefill_gops"] = gops * median(rounds.prefill_tps);
  object["decode_gbps"] = gbps * median(rounds.decode_tps);
  put(object, "int8_gops", over(rounds.roofs, [](const Roofs& roofs) { return roofs.int8_gops; }));
  object["bf16_gops"] = median(over(rounds.roofs, [](const Roofs& roofs) { return roofs.bf16_gops; }));
  put(object, "read_gbps", reads);
  object["read_gbps_small"] = median(over(rounds.roofs, [](const Roofs& roofs) { return roofs.read_gbps_small; }));
  object["read_gbps_huge"] = median(over(rounds.roofs, [](const Roofs& roofs) { return roofs.read_gbps_huge; }));
  object["prefill_roof"] = roof_name(facts.mix);
  object["prefill_roof_gops"] = median(arithmetic);
  put(object, "prefill_roof_share", shares(scaled(rounds.prefill_tps, gops), arithmetic));
  put(object, "decode_roof_share", shares(scaled(rounds.decode_tps, gbps), reads));
  const size_t steps = rounds.step_ms.size();
  object["prefill_zones"] = zones_json(rounds.prefill_zones, rounds.prefill_tps.size());
  object["decode_zones"] = zones_json(rounds.decode_zones, steps);
  const double stamps = steps == 0 ? 0 : static_cast<double>(rounds.decode_zones.stamps()) / static_cast<double>(steps);
  object["zone_ns"] = 1e9 * rounds.zone_seconds;
  object["zones_per_step"] = stamps;
  object["zone_share"] = steps == 0 ? 0 : stamps * rounds.zone_seconds * 1e3 / median(rounds.step_ms);
  object["weight_pages"] = page_kind(facts.huge_share);
  object["huge_page_share"] = facts.huge_share;
  object["step_weight_bytes"] = static_cast<int64_t>(facts.bytes.weights);
  object["step_file_bytes"] = static_cast<int64_t>(facts.bytes.file);
  object["step_kv_bytes"] = static_cast<int64_t>(facts.bytes.kv);
  object["prompt"] = shape.prompt;
  object["gen"] = shape.gen;
  object["depth"] = shape.depth;
  object["batch"] = shape.batch;
  return object;
}

std::string bench_text(const nlohmann::json& object) {
  std::string text;
  if (!object.at("prefill_tps").is_null()) {
    text += rate_text(object, "prefill", "prefill_tps");
    const std::string share = share_text(object, "prefill_roof_share");
    if (!share.empty()) {
      text += fmt::format("{}{:.0f} {} Gop/s", share, value(object, "prefill_roof_gops"),
                          object.at("prefill_roof").get<std::string>());
    }
    text += "\n";
  }
  if (!object.at("decode_tps").is_null()) {
    text += rate_text(object, "decode", "decode_tps");
    const std::string share = share_text(object, "decode_roof_share");
    if (!share.empty()) text += fmt::format("{}{:.1f} GB/s", share, value(object, "read_gbps"));
    text += fmt::format("\n{:<10}{:.2f} ms a step, which reads {} of weights (on {} pages) and {} of keys and values\n",
                        "", value(object, "step_ms"), bytes_text(object, "step_weight_bytes"),
                        object.at("weight_pages").get<std::string>(), bytes_text(object, "step_kv_bytes"));
  }
  if (const std::string zones = zones_text(object.at("decode_zones")); !zones.empty()) {
    text += fmt::format("{:<10}of a step: {}\n{:<10}{:.0f} timing zones of {:.0f} ns: {:.2f} % of it\n", "", zones, "",
                        value(object, "zones_per_step"), value(object, "zone_ns"), 100 * value(object, "zone_share"));
  }
  text += fmt::format("prompt {}, gen {}, depth {}, batch {}, {} rounds; load {:.0f} ms, peak {}, logits {}\n",
                      object.at("prompt").dump(), object.at("gen").dump(), object.at("depth").dump(),
                      object.at("batch").dump(), object.at("rounds").dump(), value(object, "load_ms"),
                      bytes_text(object, "peak_rss_bytes"), object.at("logits_hash").get<std::string>());
  if (object.contains("peer")) text += peer_text(object.at("peer"));
  return text;
}

}  // namespace autoglm
