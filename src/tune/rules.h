// Why it is slow: a table of rules, each from facts to a finding with a fix and what that would bring. Pure.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/language.h"
#include "tune/facts.h"

namespace autoglm {

struct Finding {
  std::string_view cause;      // the rule's name, the same in every language
  std::string title;           // what it means, in words
  std::string evidence;        // the numbers that show it
  std::string fix;             // what to do
  std::optional<double> gain;  // predicted: so many times as fast; none: cannot be told
  bool bound = false;          // the rule's
  std::string_view of;         // what gets faster: "all", "prefill", "decode", "start"
};

/// What a rule says about facts; nothing where they show no fault.
struct Judgement {
  std::string evidence;
  std::string fix;
  std::optional<double> gain;
};

struct Rule {
  std::string_view cause;
  Text title;
  std::string_view of;
  std::optional<Judgement> (*judge)(const Facts& facts, Language language);
  bool bound = false;  // not a fault: where the speed stands against the roofs
};

std::span<const Rule> doctor_rules();

/// Every rule's finding: faults first, then what bounds the speed without any; the largest predicted gain first.
std::vector<Finding> diagnose(const Facts& facts, Language language);

}  // namespace autoglm
