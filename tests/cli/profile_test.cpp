// Profiles written out: values follow from the facts of machine and model, and reasons name them.
#include "cli/profile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <map>

#include "cli/command_runner.h"
#include "cli/machine_settings.h"

namespace autoglm::test {
namespace {

using testing::HasSubstr;

constexpr int64_t kMiB = 1 << 20;

Machine machine_with(int cores, std::optional<double> quota, std::optional<int64_t> memory_limit) {
  Machine machine;
  for (int cpu = 0; cpu < cores; ++cpu) machine.allowed.push_back({.cpu = cpu, .core = cpu});
  machine.physical_cores = machine.logical_cpus = cores;
  machine.cpu_quota = quota;
  machine.memory_total = machine.memory_available = 64 * 1024 * kMiB;
  machine.memory_limit = memory_limit;
  return machine;
}

int64_t token_bytes(KvType type) {
  switch (type) {
    case KvType::q4:
      return 9 << 10;
    case KvType::q8:
      return 16 << 10;
    case KvType::f16:
    case KvType::bf16:
      return 32 << 10;
    case KvType::f32:
      return 64 << 10;
  }
  return 0;
}

/// A model of 100 MiB with a context of 8,192 whose tokens take so much.
ModelFacts model_within(int64_t limit) {
  return {.activations = "int8 activations (avx512), for weights in Q4_K, Q8_0",
          .own_context = 8192,
          .plan =
              [limit](const PlanQuestion& question) {
                MemoryPlan plan;
                const auto fill = [&](int64_t context) {
                  plan.context = context;
                  plan.kv_per_token_bytes = token_bytes(question.kv_type);
                  plan.kv_bytes =
                      plan.kv_per_token_bytes * (context + (question.requests - 1) * std::min(context, kSharedTokens));
                  plan.activations_bytes = question.chunk * (64 << 10) + (question.drafts ? 8 * kMiB : 0);
                  plan.limit_bytes = limit;
                  plan.total_bytes = 100 * kMiB + plan.kv_bytes + plan.activations_bytes;
                };
                fill(question.context > 0 ? question.context : 8192);
                plan.context_reason = "the model's own";
                while (question.context == 0 && !plan.fits() && plan.context > 256) fill(plan.context / 2);
                return plan;
              },
          .held = [](KvType) { return std::numeric_limits<int64_t>::max(); }};
}

struct Chosen {
  std::string value;
  std::string reason;
};

std::map<std::string, Chosen> choose(const std::string& profile, const Machine& machine, int64_t limit,
                                     const std::map<std::string, std::string>& given = {},
                                     Language language = Language::en) {
  Settings settings;
  settings.set("profile", profile, Origin::flag, "");
  for (const auto& [key, value] : given) settings.set(key, value, Origin::flag, "");
  apply_machine(settings, machine, language == Language::zh ? "zh_CN.UTF-8" : "");
  settings.apply_profile(language);
  std::map<std::string, Chosen> out;
  out["runtime.threads"] = {settings.as_word("runtime.threads"), settings.reason("runtime.threads")};
  out["runtime.memory_limit"] = {settings.as_word("runtime.memory_limit"), settings.reason("runtime.memory_limit")};
  for (const ProfileChoice& choice : choices_for_model(settings, model_within(limit), language)) {
    EXPECT_EQ(parse_setting(*find_setting(choice.key), choice.value).error, "") << choice.key;
    out[std::string(choice.key)] = {choice.value, choice.reason};
  }
  return out;
}

TEST(Profile, ThreadsFollowQuotaAndCores) {
  auto chosen = choose("balanced", machine_with(8, 6.5, {}), 0);
  EXPECT_EQ(chosen["runtime.threads"].value, "6");
  EXPECT_THAT(chosen["runtime.threads"].reason, HasSubstr("a quota of 6.5 CPUs"));
  chosen = choose("efficient", machine_with(8, 6.5, {}), 0);
  EXPECT_EQ(chosen["runtime.threads"].value, "3");
  EXPECT_THAT(chosen["runtime.threads"].reason, HasSubstr("half of 6"));
  EXPECT_THAT(chosen["runtime.threads"].reason, HasSubstr("a quota of 6.5 CPUs"));
  EXPECT_EQ(choose("efficient", machine_with(8, {}, {}), 0)["runtime.threads"].value, "4");
  EXPECT_EQ(choose("performance", machine_with(8, {}, {}), 0)["runtime.threads"].value, "8");
  EXPECT_EQ(choose("efficient", machine_with(8, 6.5, {}), 0, {{"runtime.threads", "5"}})["runtime.threads"].value, "5");
}

TEST(Profile, TheMemoryLimitIsNamed) {
  const auto chosen = choose("balanced", machine_with(2, {}, 3 * 1024 * kMiB), 0);
  EXPECT_EQ(chosen.at("runtime.memory_limit").value, "3GiB");
  EXPECT_THAT(chosen.at("runtime.memory_limit").reason, HasSubstr("cgroup limit 3 GiB"));
}

TEST(Profile, RequestsAtOnceFollowTheMemoryLimit) {
  const Machine machine = machine_with(2, {}, {});
  // 8,192 + 63 x 1,024 tokens of 16 KiB: 1,136 MiB beside 100 of weights and 40 of activations.
  auto chosen = choose("performance", machine, 2048 * kMiB);
  EXPECT_EQ(chosen["batching.max_batch_size"].value, "64");
  EXPECT_EQ(chosen["kv_cache.max_bytes"].value, "1136MiB");
  EXPECT_THAT(chosen["batching.max_batch_size"].reason, HasSubstr("1.1 GiB of keys and values"));
  EXPECT_THAT(chosen["batching.max_batch_size"].reason, HasSubstr("the limit of 2 GiB"));

  chosen = choose("performance", machine, 512 * kMiB);
  EXPECT_EQ(chosen["context"].value, "8192") << "requests at once go before the context does";
  EXPECT_EQ(chosen["batching.max_batch_size"].value, "16");
  EXPECT_THAT(chosen["batching.max_batch_size"].reason, HasSubstr("64 would need 1.2 GiB, and the limit of 512 MiB"));
  EXPECT_EQ(chosen["kv_cache.max_bytes"].value, "368MiB");

  chosen = choose("performance", machine, 200 * kMiB);
  EXPECT_EQ(chosen["context"].value, "2048");
  EXPECT_THAT(chosen["context"].reason, HasSubstr("32 MiB of the limit of 200 MiB"));

  chosen = choose("performance", machine, 512 * kMiB, {{"batching.max_batch_size", "64"}});
  EXPECT_EQ(chosen.count("batching.max_batch_size"), 0) << "what was asked for stays";
}

TEST(Profile, EfficientTakesLess) {
  const Machine machine = machine_with(4, {}, {});
  auto efficient = choose("efficient", machine, 0);
  auto balanced = choose("balanced", machine, 0);
  EXPECT_EQ(efficient["batching.max_batch_size"].value, "8");
  EXPECT_EQ(balanced["batching.max_batch_size"].value, "32");
  EXPECT_EQ(efficient["batching.prefill_chunk"].value, "128");
  EXPECT_THAT(efficient["batching.prefill_chunk"].reason, HasSubstr("take 8 MiB, with 512 tokens a step 32 MiB"));
  EXPECT_EQ(balanced["batching.prefill_chunk"].value, "512");
  EXPECT_EQ(efficient["speculation"].value, "off");
  EXPECT_THAT(efficient["speculation"].reason, HasSubstr("8 MiB less memory"));
  EXPECT_EQ(balanced["speculation"].value, "auto");
  EXPECT_EQ(efficient["kv_cache.type"].value, "q8");
  EXPECT_THAT(efficient["kv_cache.type"].reason, HasSubstr("q4 9 KiB, q8 16 KiB, f16 32 KiB, bf16 32 KiB, f32 64 KiB"));
  EXPECT_THAT(efficient["precision.strategy"].reason, HasSubstr("Q4_K, Q8_0"));

  const auto automatic = choose("balanced", machine, 240 * kMiB, {{"kv_cache.type", "auto"}});
  EXPECT_EQ(automatic.at("context").value, "8192") << "q4 holds it";
  EXPECT_EQ(automatic.at("kv_cache.type").value, "auto");
  EXPECT_THAT(automatic.at("kv_cache.type").reason, HasSubstr("here q4"));
  const std::map<std::string, std::string> one = {{"kv_cache.type", "auto"}, {"context", "8192"}};
  auto eight = one;
  eight["batching.max_batch_size"] = "8";
  EXPECT_THAT(choose("balanced", machine, 280 * kMiB, one).at("kv_cache.type").reason, HasSubstr("here q8"));
  EXPECT_THAT(choose("balanced", machine, 280 * kMiB, eight).at("kv_cache.type").reason, HasSubstr("here q4"));
  EXPECT_EQ(choose("balanced", machine, 240 * kMiB).at("context").value, "4096")
      << "q8 does not, and q4 was not allowed";

  Settings settings;
  EXPECT_EQ(most_context(settings), 32768);
  settings.set("profile", "efficient", Origin::file, "");
  EXPECT_EQ(most_context(settings), 4096);
}

TEST(Profile, ReasonsAreInChineseToo) {
  const auto english = choose("efficient", machine_with(4, 2.5, {}), 512 * kMiB);
  for (const auto& [key, chosen] : choose("efficient", machine_with(4, 2.5, {}), 512 * kMiB, {}, Language::zh)) {
    EXPECT_EQ(chosen.value, english.at(key).value) << key;
    if (key == "precision.strategy") continue;  // told by the model's facts
    EXPECT_NE(chosen.reason, english.at(key).reason) << key;
  }
}

nlohmann::json rows_of(const std::vector<std::string>& arguments) {
  const Outcome outcome = run_program(arguments);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.out << outcome.err;
  const nlohmann::json object = outcome.json();
  nlohmann::json rows;
  for (const auto& row : object.at("settings")) rows[row.at("key").get<std::string>()] = row;
  return rows;
}

TEST(Profile, ConfigWritesItOutAndTakesItBack) {
  const TemporaryFolder folder;
  for (const std::string profile : {"efficient", "balanced", "performance"}) {
    const std::vector<std::string> words = {"config", smollm2(), "--profile", profile, "--memory-limit", "700MiB"};
    std::vector<std::string> for_json = words;
    for_json.emplace_back("--json");
    const nlohmann::json first = rows_of(for_json);
    const Outcome yaml = run_program(words);
    const auto file = folder.write(profile + ".yaml", yaml.out);
    const nlohmann::json again = rows_of({"config", "--config", file.string(), "--json"});
    for (const auto& [key, row] : first.items()) EXPECT_EQ(again.at(key).at("value"), row.at("value")) << key;
    EXPECT_EQ(again.at("context").at("origin"), "file");
    EXPECT_THAT(first.at("context").at("reason").get<std::string>(), HasSubstr("700 MiB")) << profile;
    EXPECT_EQ(first.at("context").at("value"), profile == "efficient" ? 4096 : 8192);
    // The settings run as they were written: nothing shrinks any more.
    const Outcome bench = run_program({"bench", smollm2(), "--config", file.string(), "--workload", "chat",
                                       "--requests", "1", "--scale", "0.1", "--no-probe", "--json"});
    EXPECT_EQ(bench.exit_code, 0) << bench.out << bench.err;
    EXPECT_EQ(bench.json().value("context", 0), first.at("context").at("value"));
    EXPECT_THAT(bench.err, testing::Not(HasSubstr("requests at once")));
  }
  EXPECT_THAT(run_program({"config", smollm2(), "--profile", "efficient", "--lang", "zh"}).out, HasSubstr("激活值占"));
}

}  // namespace
}  // namespace autoglm::test
