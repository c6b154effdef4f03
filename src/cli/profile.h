// What a profile means on this machine and for this model: settings, each with its reason.
//
// What does not depend on either is in the settings table (profile_values()). The rest is decided here, from the
// machine's facts and the memory plan, where nobody has asked for another value.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/command.h"
#include "format/model_source.h"
#include "model/model.h"

namespace autoglm {

struct ProfileChoice {
  std::string_view key;
  std::string value;
  Origin origin = Origin::machine;
  std::string reason;
};

/// Threads, where the profile does not take all that the machine allows.
std::vector<ProfileChoice> choices_for_machine(const Settings& settings, const Machine& machine, Language language);

/// What a memory plan is asked for. `context` 0: the default rule.
struct PlanQuestion {
  int64_t context = 0;
  int64_t requests = 1;  // at once
  int64_t chunk = 512;   // rows of a step
  bool drafts = true;
  KvType kv_type = KvType::q8;
  bool limited = true;  // by kv_cache.max_bytes, which a type that takes more may exceed
};

/// What is asked of a model.
struct ModelFacts {
  std::string activations;  // activation_words()
  int64_t own_context = 0;
  std::function<MemoryPlan(const PlanQuestion&)> plan;
  int64_t kv_max_bytes = 0;             // by which requests are limited; 0: by nothing
  std::function<int64_t(KvType)> held;  // max_kv_tokens() of that
};

/// Context, KV type and size, requests at once, tokens a step, speculation, precision: what holds, and why. Requests at
/// once are halved until they fit beside a whole context; nothing else is made smaller. What is asked for stays, and is
/// left out.
std::vector<ProfileChoice> choices_for_model(const Settings& settings, const ModelFacts& model, Language language);

/// The longest context that the profile takes unless asked for more.
int64_t most_context(const Settings& settings);

/// choices_for_model() of a source that this runtime would load, put into the settings. `keys`: those that are wanted;
/// empty: all. Nothing is loaded and nothing runs on the pool.
void apply_profile_to_model(Context& context, const ModelSource& source, const Runtime& runtime,
                            std::vector<std::string_view> keys = {});

}  // namespace autoglm
