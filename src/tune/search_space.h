// What `tune` may change: the settings whose row in the settings table names values to try.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/settings.h"
#include "hw/machine.h"

namespace autoglm {

struct TunedField {
  const Setting* setting = nullptr;
  std::vector<std::string> values;  // the first is the one that holds now
};

/// Every setting with Setting::tune that neither a person nor a profile has set and that has something to choose from.
/// `users`: requests at once; values that can make no difference with so few are left out (0: any number). No choice
/// needs a right that this process has not, and none answers less exactly than what holds.
std::vector<TunedField> search_space(const Settings& settings, const Machine& machine, int64_t users);

/// {"--threads", "2", ...} for all fields; `choice` has an index a field.
std::vector<std::string> words_of(const std::vector<TunedField>& fields, const std::vector<int>& choice);

/// What a person has set of what `bench` takes too, as words for a child: it holds for every measurement.
std::vector<std::string> given_words(const Settings& settings);

}  // namespace autoglm
