#include "cli/profile.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/ledger.h"
#include "cli/dynamic_precision.h"
#include "cli/open.h"
#include "model/families/family.h"
#include "model/memory_plan.h"

namespace autoglm {
namespace {

/// Words in one of two languages with the same arguments.
class Say {
 public:
  explicit Say(Language language) : zh_(language == Language::zh) {}
  template <typename... T>
  std::string operator()(const char* en, const char* zh, const T&... values) const {
    return fmt::format(fmt::runtime(zh_ ? zh : en), values...);
  }

 private:
  bool zh_;
};

std::string limit_of(const MemoryPlan& plan, const Say& say) {
  return plan.limit_bytes > 0 ? say("the limit of {}", "上限 {}", format_bytes(plan.limit_bytes))
                              : say("no limit", "无上限");
}

/// MemoryPlan::context_reason, which is English, in the language of the others.
std::string context_reason(const MemoryPlan& plan, const Say& say) {
  constexpr std::pair<std::string_view, const char*> kChinese[] = {{"the model's own", "模型自身的长度"},
                                                                   {"the default", "默认值，短于模型自身的长度"},
                                                                   {"what the memory limit", "内存上限允许的长度"},
                                                                   {"what a KV cache", "键值缓存可容纳的长度"}};
  for (const auto& [english, chinese] : kChinese) {
    if (plan.context_reason.starts_with(english)) return say("{0}", "{1}", plan.context_reason, chinese);
  }
  return plan.context_reason;
}

/// Chooses one setting after the other; each sees what those before it came to.
class Chooser {
 public:
  Chooser(const Settings& settings, const ModelFacts& model, Language language)
      : settings_(settings), model_(model), say_(language), profile_(settings.text("profile")) {
    asked_.context = settings.integer_if("context").value_or(0);
    asked_.chunk = settings.integer("batching.prefill_chunk");
    asked_.drafts = settings.text("speculation") != "off";
    asked_.kv_type = kv_type_of(settings);
    if (settings.text("kv_cache.type") != "auto") return;
    const KvQuestion question{
        .wanted = asked_.context > 0 ? asked_.context : std::min(model.own_context, most_context(settings)),
        .kv_max_bytes = model.kv_max_bytes,
        .held = model.held,
        .plan = [&](KvType type) {
          PlanQuestion with = asked_;
          with.kv_type = type;
          // As `serve` judges: for all at once, where it was said how many.
          if (settings.given("batching.max_batch_size")) with.requests = settings.integer("batching.max_batch_size");
          return model.plan(with);
        }};
    automatic_ = choose_kv_type(question, language);
    asked_.kv_type = automatic_->type;
  }

  std::vector<ProfileChoice> run() {
    context();
    kv_type();
    requests();
    chunk();
    speculation();
    precision();
    return std::move(out_);
  }

 private:
  void add(std::string_view key, std::string value, std::string reason) {
    if (settings_.given(key) || settings_.origin(key) == Origin::machine) return;  // what was tuned stays as it is
    // A reason that is told better is no other origin.
    const Origin origin = std::min(settings_.origin(key), Origin::machine);
    out_.push_back({key, std::move(value), origin, std::move(reason)});
  }

  MemoryPlan plan(const PlanQuestion& question) const { return model_.plan(question); }

  void context() {
    const MemoryPlan one = plan(asked_);
    asked_.context = one.context;
    const bool less = profile_ == "efficient" && one.context == most_context(settings_);
    const std::string why = less
                                ? say_("efficient: no more unless it is asked for", "efficient：除非另行指定，不再更长")
                                : context_reason(one, say_);
    const std::string full = say_("{}; its keys and values take {} of {}", "{}；其键值占 {}，{}", why,
                                  format_bytes(one.kv_bytes), limit_of(one, say_));
    add("context", std::to_string(one.context), full);
  }

  void kv_type() {
    if (automatic_) {
      const std::string asked = settings_.reason("kv_cache.type");
      out_.push_back({"kv_cache.type", "auto", settings_.origin("kv_cache.type"),
                      say_("{}: here {}, {}", "{}：此处为 {}，{}", asked, name(automatic_->type), automatic_->reason)});
      return;
    }
    std::string others;
    for (const KvType type : {KvType::q4, KvType::q8, KvType::f16, KvType::bf16, KvType::f32}) {
      PlanQuestion question = asked_;
      question.kv_type = type;
      question.limited = false;
      others += fmt::format("{}{} {}", others.empty() ? "" : ", ", name(type),
                            format_bytes(plan(question).kv_per_token_bytes));
    }
    add("kv_cache.type", settings_.text("kv_cache.type"), say_("a token takes: {}", "每个 token 占用：{}", others));
  }

  void requests() {
    const int64_t wanted = settings_.integer("batching.max_batch_size");
    const bool open = settings_.origin("batching.max_batch_size") != Origin::machine;  // what was tuned stays
    PlanQuestion question = asked_;
    question.requests = wanted;
    const MemoryPlan all = plan(question);
    MemoryPlan chosen = all;
    while (open && !settings_.given("batching.max_batch_size") && !chosen.fits() && question.requests > 1) {
      question.requests /= 2;
      chosen = plan(question);
    }
    const int64_t others = std::min(kSharedTokens, asked_.context);
    std::string why =
        question.requests == wanted
            ? say_("one of {} tokens and {} of {} have {} of keys and values; {} in all, {}",
                   "1 个 {} token 的请求和 {} 个 {} token 的请求的键值占 {}；总计 {}，{}", asked_.context, wanted - 1,
                   others, format_bytes(chosen.kv_bytes), format_bytes(chosen.total_bytes), limit_of(chosen, say_))
            : say_("{} would need {}, and {} holds", "{} 个请求需要 {}，而{}", wanted, format_bytes(all.total_bytes),
                   limit_of(all, say_));
    add("batching.max_batch_size", std::to_string(question.requests), profile_ + ": " + why);
    constexpr int64_t kStep = 1 << 20;
    add("kv_cache.max_bytes", fmt::format("{}MiB", std::max<int64_t>(1, (chosen.kv_bytes + kStep - 1) / kStep)),
        say_("one request of {} tokens and {} of {}", "1 个 {} token 的请求和 {} 个 {} token 的请求", asked_.context,
             question.requests - 1, others));
  }

  void chunk() {
    PlanQuestion other = asked_;
    other.chunk = asked_.chunk == 512 ? 128 : 512;
    add("batching.prefill_chunk", std::to_string(asked_.chunk),
        say_("{}: activations take {}, with {} tokens a step {}", "{}：激活值占 {}，每步 {} 个 token 时为 {}", profile_,
             format_bytes(plan(asked_).activations_bytes), other.chunk, format_bytes(plan(other).activations_bytes)));
  }

  void speculation() {
    PlanQuestion other = asked_;
    other.drafts = !asked_.drafts;
    const int64_t bytes = std::abs(plan(asked_).activations_bytes - plan(other).activations_bytes);
    add("speculation", asked_.drafts ? "auto" : "off",
        asked_.drafts ? say_("{}: drafts while they are faster; they take {}", "{}：仅在更快时推测；占 {}", profile_,
                             format_bytes(bytes))
                      : say_("{}: a draft that is refused is work for nothing; {} less memory",
                             "{}：被拒绝的推测白费计算；少用内存 {}", profile_, format_bytes(bytes)));
  }

  void precision() { add("precision.strategy", settings_.text("precision.strategy"), model_.activations); }

  const Settings& settings_;
  const ModelFacts& model_;
  Say say_;
  std::string profile_;
  PlanQuestion asked_;
  std::optional<KvChoice> automatic_;  // --kv-type auto
  std::vector<ProfileChoice> out_;
};

}  // namespace

std::vector<ProfileChoice> choices_for_machine(const Settings& settings, const Machine& machine, Language language) {
  if (settings.text("profile") != "efficient") return {};
  const int all = machine.threads();
  const Say say(language);
  return {{"runtime.threads", std::to_string((all + 1) / 2), Origin::profile,
           say("efficient: half of {}, {}; the others are for other programs",
               "efficient：{} 的一半（{}），其余留给其他程序", all, machine.threads_reason(language))}};
}

int64_t most_context(const Settings& settings) {
  constexpr int64_t kEfficient = 4096;
  return settings.text("profile") == "efficient" ? kEfficient : LoadOptions{}.most_context;
}

std::vector<ProfileChoice> choices_for_model(const Settings& settings, const ModelFacts& model, Language language) {
  return Chooser(settings, model, language).run();
}

void apply_profile_to_model(Context& context, const ModelSource& source, const Runtime& runtime,
                            std::vector<std::string_view> keys) {
  const LoadOptions base = load_options(context);
  const ArchSpec spec = read_spec(source);
  const int64_t kv_max_bytes = context.settings().bytes_if("kv_cache.max_bytes").value_or(0);
  const auto plan = [&](const PlanQuestion& question) {
    LoadOptions options = base;
    EngineShape shape = engine_shape(context.settings(), question.requests);
    shape.chunk = question.chunk;
    shape.drafts = question.drafts;
    shape.serves = question.requests > 1 || context.command().name == "serve";
    add_engine(options, shape);
    options.context = question.context;
    options.kv_type = question.kv_type;
    options.kv_max_bytes = question.limited ? kv_max_bytes : 0;
    return Model::plan(source, runtime, options);
  };
  const Language language = context.json() ? Language::en : context.language();
  const ModelFacts facts{
      .activations = activation_words(source, base.precision, runtime.backend->name(), language),
      .own_context = spec.train_context,
      .plan = plan,
      .kv_max_bytes = kv_max_bytes,
      .held = [&](KvType type) { return max_kv_tokens(spec, *runtime.backend, type, kv_max_bytes); }};
  for (const ProfileChoice& choice : choices_for_model(context.settings(), facts, language)) {
    if (!keys.empty() && std::ranges::find(keys, choice.key) == keys.end()) continue;
    Settings& settings = context.mutable_settings();
    const bool less = choice.key == "batching.max_batch_size" && settings.as_word(choice.key) != choice.value;
    settings.set(choice.key, choice.value, choice.origin, choice.reason);
    if (less) {
      const Say say(context.language());
      context.note(say("requests at once: {} ({})", "同时处理的请求数：{}（{}）", choice.value, choice.reason));
    }
  }
}

}  // namespace autoglm
