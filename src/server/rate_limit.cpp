#include "server/rate_limit.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace autoglm {

double TokenBucket::level(double now) const { return std::min(most_, level_ + std::max(0.0, now - at_) * most_ / 60); }

void TokenBucket::take(double amount, double now) {
  level_ = level(now) - amount;
  at_ = std::max(at_, now);
}

double TokenBucket::seconds_until(double amount, double now) const {
  return std::max(0.0, std::min(amount, most_) - level(now)) * 60 / most_;
}

ClientMeter::ClientMeter(std::string name, const ClientLimits& limits, double now)
    : name_(std::move(name)),
      limits_(limits),
      requests_(static_cast<double>(limits.requests_per_minute), now),
      tokens_(static_cast<double>(limits.tokens_per_minute), now) {}

ClientMeter::Verdict ClientMeter::enter(double now) {
  const std::scoped_lock lock(mutex_);
  if (limits_.concurrent > 0 && inside_ >= limits_.concurrent) {
    return {fmt::format("this key may have {} requests at once", limits_.concurrent), 1};
  }
  if (limits_.requests_per_minute > 0 && requests_.level(now) < 1) {
    return {fmt::format("this key may send {} requests a minute", limits_.requests_per_minute),
            requests_.seconds_until(1, now)};
  }
  if (limits_.tokens_per_minute > 0 && tokens_.level(now) < 1) {
    return {fmt::format("this key may use {} tokens a minute", limits_.tokens_per_minute),
            tokens_.seconds_until(1, now)};
  }
  if (limits_.requests_per_minute > 0) requests_.take(1, now);
  ++inside_;
  return {};
}

void ClientMeter::leave() {
  const std::scoped_lock lock(mutex_);
  --inside_;
}

void ClientMeter::charge(int64_t tokens, double now) {
  const std::scoped_lock lock(mutex_);
  if (limits_.tokens_per_minute > 0) tokens_.take(static_cast<double>(tokens), now);
}

std::vector<std::pair<std::string, std::string>> ClientMeter::headers(double now) const {
  std::vector<std::pair<std::string, std::string>> headers;
  const auto add = [&](const TokenBucket& bucket, std::string_view what) {
    if (bucket.most() <= 0) return;
    const auto left = static_cast<int64_t>(std::max(0.0, std::floor(bucket.level(now))));
    headers.emplace_back(fmt::format("x-ratelimit-limit-{}", what), fmt::format("{:.0f}", bucket.most()));
    headers.emplace_back(fmt::format("x-ratelimit-remaining-{}", what), std::to_string(left));
    headers.emplace_back(fmt::format("x-ratelimit-reset-{}", what),
                         duration_text(bucket.seconds_until(bucket.most(), now)));
  };
  const std::scoped_lock lock(mutex_);
  add(requests_, "requests");
  add(tokens_, "tokens");
  return headers;
}

std::string duration_text(double seconds) {
  const auto ms = static_cast<int64_t>(std::ceil(seconds * 1e3 - 1e-6));
  if (ms <= 0) return "0s";
  if (ms < 1000) return fmt::format("{}ms", ms);
  const auto minutes = ms / 60000;
  const double rest = static_cast<double>(ms % 60000) / 1e3;
  return minutes > 0 ? fmt::format("{}m{:g}s", minutes, rest) : fmt::format("{:g}s", rest);
}

}  // namespace autoglm
