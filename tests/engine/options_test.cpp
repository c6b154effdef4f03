// From a configuration file to an engine.
#include "engine/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace autoglm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(ServingOptions, AConfigurationOfAnotherServerWorksAsItIs) {
  Settings settings;
  settings.load_yaml(
      "batching: {mode: dynamic, max_batch_size: 32, timeout_microseconds: 1000, enable_padding: true}\n"
      "server: {port: 8080, timeout: 30s}\n",
      "f.yaml");
  std::vector<std::string> notes;
  const EngineOptions options = serving_options(settings, notes);
  EXPECT_EQ(options.policy.batching, Batching::dynamic);
  EXPECT_EQ(options.max_sequences, 32);
  EXPECT_DOUBLE_EQ(options.policy.window, 1e-3);
  EXPECT_THAT(notes, ElementsAre(HasSubstr("enable_padding has no effect")));
  EXPECT_EQ(settings.integer("server.port"), 8080);
  EXPECT_EQ(settings.microseconds("server.timeout"), 30'000'000);
}

TEST(ServingOptions, Defaults) {
  std::vector<std::string> notes;
  const EngineOptions options = serving_options(Settings(), notes);
  EXPECT_EQ(options.policy.batching, Batching::continuous);
  EXPECT_EQ(options.policy.target_gap, 0) << "automatic";
  EXPECT_TRUE(options.policy.prefix_cache);
  EXPECT_EQ(options.max_sequences, 32);
  EXPECT_EQ(options.max_queue, 256);
  EXPECT_EQ(options.deadlines.queue, 0);
  EXPECT_EQ(options.deadlines.prefill, 0);
  EXPECT_EQ(options.deadlines.decode, 0);
  EXPECT_THAT(notes, IsEmpty());
}

TEST(ServingOptions, EverySettingArrives) {
  Settings settings;
  settings.load_yaml(
      "batching: {mode: none, max_batch_size: 7}\n"
      "server: {target_itl: 40ms, max_queue: 3, deadlines: {queue: 5s, prefill: 20s, decode: 2m}}\n"
      "kv_cache: {prefix_cache: false}\nspeculation: off\n",
      "f.yaml");
  std::vector<std::string> notes;
  const EngineOptions options = serving_options(settings, notes);
  EXPECT_EQ(options.policy.batching, Batching::none);
  EXPECT_EQ(options.max_sequences, 1);
  EXPECT_DOUBLE_EQ(options.policy.target_gap, 0.04);
  EXPECT_FALSE(options.policy.prefix_cache);
  EXPECT_EQ(options.max_queue, 3);
  EXPECT_DOUBLE_EQ(options.deadlines.queue, 5);
  EXPECT_DOUBLE_EQ(options.deadlines.prefill, 20);
  EXPECT_DOUBLE_EQ(options.deadlines.decode, 120);
  EXPECT_EQ(options.speculation, Speculation::off);
  for (const auto& [mode, batching] : {std::pair("static", Batching::fixed), {"continuous", Batching::continuous}}) {
    settings.set("batching.mode", mode, Origin::flag, "--batching");
    EXPECT_EQ(serving_options(settings, notes).policy.batching, batching);
  }
}

}  // namespace
}  // namespace autoglm
