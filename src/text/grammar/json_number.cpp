#include "text/grammar/json_number.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "base/error.h"

namespace autoglm {
namespace {

using Node = Grammar::Node;
using Wide = __int128;

constexpr int kDigits = 15;  // that a double keeps

Wide power(int exponent) {
  Wide value = 1;
  for (int i = 0; i < exponent; ++i) value *= 10;
  return value;
}

std::string text_of(Wide value) {
  std::string digits;
  do {
    digits += static_cast<char>('0' + static_cast<int>(value % 10));
    value /= 10;
  } while (value > 0);
  std::reverse(digits.begin(), digits.end());
  return digits;
}

Node digit(Grammar& g, char low, char high) {
  return low > high ? g.never() : g.bytes(static_cast<uint8_t>(low), static_cast<uint8_t>(high));
}

Node any_digits(Grammar& g, int64_t min, int64_t max) { return g.repeat(g.bytes('0', '9'), min, max); }

// Digit strings from `low` to `high`, equally long, beginning at digit i. `at_low`: the digits before are those of
// `low`, so this one may not be smaller. With `shorter`, zeros at the end may be left out (i > 0).
struct DigitRange {
  Grammar& g;
  const std::string& low;
  const std::string& high;
  bool shorter;

  Node from(size_t i, bool at_low, bool at_high) const {
    const auto left = static_cast<int64_t>(low.size() - i);
    if (left == 0) return g.empty();
    if (!at_low && !at_high) return any_digits(g, shorter ? (i == 0 ? 1 : 0) : left, left);
    const char a = at_low ? low[i] : '0';
    const char b = at_high ? high[i] : '9';
    std::vector<Node> ways;
    const bool zeros = !at_low || low.find_first_not_of('0', i) == std::string::npos;
    if (shorter && i > 0 && zeros) ways.push_back(g.empty());
    if (at_low && at_high && a == b) {
      ways.push_back(g.sequence({digit(g, a, a), from(i + 1, true, true)}));
      return g.choice(ways);
    }
    char first = a;
    char last = b;
    if (at_low) ways.push_back(g.sequence({digit(g, first++, a), from(i + 1, true, false)}));
    if (at_high) ways.push_back(g.sequence({digit(g, b, last--), from(i + 1, false, true)}));
    if (first <= last) ways.push_back(g.sequence({digit(g, first, last), from(i + 1, false, false)}));
    return g.choice(ways);
  }
};

// 0 <= low.
Node naturals(Grammar& g, Wide low, Wide high) {
  std::vector<Node> ways;
  for (size_t length = text_of(low).size(); low <= high && length <= text_of(high).size(); ++length) {
    const Wide least = std::max(low, length == 1 ? Wide{0} : power(static_cast<int>(length) - 1));
    const Wide most = std::min(high, power(static_cast<int>(length)) - 1);
    const std::string first = text_of(least);
    const std::string last = text_of(most);
    ways.push_back(DigitRange{g, first, last, false}.from(0, true, true));
  }
  return g.choice(ways);
}

Node integers(Grammar& g, Wide low, Wide high) {
  std::vector<Node> ways;
  if (low < 0) ways.push_back(g.sequence({g.text("-"), naturals(g, high < 0 ? -high : Wide{1}, -low)}));
  if (high >= 0) ways.push_back(naturals(g, std::max(low, Wide{0}), high));
  return g.choice(ways);
}

/// Numbers of up to `places` digits behind the point, as integers of units of the last one.
struct Decimals {
  Grammar& g;
  int places;

  Node fraction(Wide low, Wide high) const {
    if (places == 0) return g.empty();
    const auto padded = [this](Wide value) {
      const std::string digits = text_of(value);
      return std::string(static_cast<size_t>(places) - digits.size(), '0') + digits;
    };
    const std::string first = padded(low);
    const std::string last = padded(high);
    const Node written = g.sequence({g.text("."), DigitRange{g, first, last, true}.from(0, true, true)});
    return low == 0 ? g.optional(written) : written;
  }

  // 0 <= low.
  Node between(Wide low, Wide high) const {
    if (low > high) return g.never();
    const Wide one = power(places);
    const Wide a = low / one;
    const Wide b = high / one;
    if (a == b) return g.sequence({g.text(text_of(a)), fraction(low % one, high % one)});
    std::vector<Node> ways;
    ways.push_back(g.sequence({g.text(text_of(a)), fraction(low % one, one - 1)}));
    if (a + 1 <= b - 1) ways.push_back(g.sequence({naturals(g, a + 1, b - 1), fraction(0, one - 1)}));
    ways.push_back(g.sequence({g.text(text_of(b)), fraction(0, high % one)}));
    return g.choice(ways);
  }
};

/// A bound, written out: its sign, and its digits around the point.
struct Written {
  bool negative = false;
  std::string whole;
  std::string part;

  explicit Written(const Json& number) {
    std::string text = number.is_number_integer() ? number.dump() : fmt::format("{}", number.get<double>());
    negative = text.starts_with('-');
    if (negative) text.erase(0, 1);
    int exponent = 0;
    if (const size_t e = text.find('e'); e != std::string::npos) {
      exponent = std::stoi(text.substr(e + 1));
      text.resize(e);
    }
    const size_t point = std::min(text.find('.'), text.size());
    whole = text.substr(0, point);
    part = point < text.size() ? text.substr(point + 1) : std::string();
    for (; exponent > 0; --exponent) {
      whole += part.empty() ? '0' : part[0];
      part.erase(0, 1);
    }
    for (; exponent < 0; ++exponent) {
      part.insert(part.begin(), whole.back());
      whole.pop_back();
      if (whole.empty()) whole = "0";
    }
    whole.erase(0, std::min(whole.find_first_not_of('0'), whole.size() - 1));
    part.erase(part.find_last_not_of('0') + 1);
  }
  bool too_long() const { return whole.size() > static_cast<size_t>(kDigits); }
  bool is_zero() const { return whole == "0" && part.empty(); }

  // In units of the last of `places` digits: the least integer not below, or the greatest not above.
  Wide scaled(int places, bool up) const {
    Wide value = 0;
    for (const char c : whole) value = value * 10 + (c - '0');
    for (int i = 0; i < places; ++i) {
      value = value * 10 + (static_cast<size_t>(i) < part.size() ? part[static_cast<size_t>(i)] - '0' : 0);
    }
    const bool more = part.size() > static_cast<size_t>(places);
    if (negative) return more && !up ? -value - 1 : -value;
    return more && up ? value + 1 : value;
  }
  bool exact(int places) const { return part.size() <= static_cast<size_t>(places); }
};

struct Range {
  Wide low;
  Wide high;
};

// The bounds in units of the last of `places` digits.
Range range_of(const NumberBounds& bounds, int places) {
  const Wide limit = power(kDigits + places) - 1;
  Range range{-limit, limit};
  if (bounds.least) {
    const Written least(bounds.least->value);
    if (least.too_long() && !least.negative) {
      fail(Code::bad_request, "a minimum beyond 10^15 is not supported");
    }
    if (!least.too_long()) {
      range.low = least.scaled(places, true) + (bounds.least->strict && least.exact(places) ? 1 : 0);
    }
  }
  if (bounds.most) {
    const Written most(bounds.most->value);
    if (most.too_long() && most.negative) fail(Code::bad_request, "a maximum below -10^15 is not supported");
    if (!most.too_long()) {
      range.high = most.scaled(places, false) - (bounds.most->strict && most.exact(places) ? 1 : 0);
    }
  }
  return range;
}

}  // namespace

Grammar::Node any_integer(Grammar& g) {
  const Node positive = g.sequence({g.bytes('1', '9'), any_digits(g, 0, kDigits - 1)});
  return g.choice({g.text("0"), g.sequence({g.optional(g.text("-")), positive})});
}

Grammar::Node any_number(Grammar& g) {
  const Node whole = g.choice({g.text("0"), g.sequence({g.bytes('1', '9'), any_digits(g, 0, kDigits - 1)})});
  const Node part = g.optional(g.sequence({g.text("."), any_digits(g, 1, kDigits)}));
  const Node sign = g.choice({g.empty(), g.text("+"), g.text("-")});
  const Node letter = g.choice({g.bytes('e', 'e'), g.bytes('E', 'E')});
  const Node exponent = g.optional(g.sequence({letter, sign, any_digits(g, 1, 2)}));
  return g.sequence({g.optional(g.text("-")), whole, part, exponent});
}

Grammar::Node bounded_integer(Grammar& g, const NumberBounds& bounds) {
  const Range range = range_of(bounds, 0);
  return range.low > range.high ? g.never() : integers(g, range.low, range.high);
}

Grammar::Node bounded_number(Grammar& g, const NumberBounds& bounds) {
  size_t digits = 1;
  for (const auto& bound : {bounds.least, bounds.most}) {
    if (!bound) continue;
    const Written written(bound->value);
    if (!written.too_long()) digits = std::max(digits, written.whole.size());
  }
  const int places = std::max(0, kDigits - static_cast<int>(digits));
  const Range range = range_of(bounds, places);
  if (range.low > range.high) return g.never();
  const Decimals decimals{g, places};
  std::vector<Node> ways;
  if (range.low < 0) {
    const Node size = decimals.between(range.high < 0 ? -range.high : Wide{1}, -range.low);
    ways.push_back(g.sequence({g.text("-"), size}));
  }
  if (range.high >= 0) ways.push_back(decimals.between(std::max(range.low, Wide{0}), range.high));
  return g.choice(ways);
}

}  // namespace autoglm
