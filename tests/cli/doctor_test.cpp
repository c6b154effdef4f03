// `autoglm doctor` from outside: faults that a test can cause for real are named.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "cli/command_runner.h"

namespace autoglm {
namespace {

using test::Outcome;
using test::run_program;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

std::vector<std::string> causes(const nlohmann::json& object) {
  std::vector<std::string> names;
  for (const nlohmann::json& finding : object.value("findings", nlohmann::json::array())) {
    for (const char* key : {"cause", "evidence", "fix", "predicted_gain"}) EXPECT_TRUE(finding.contains(key)) << key;
    names.push_back(finding.value("cause", ""));
  }
  return names;
}

std::vector<std::string> doctor(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "doctor");
  arguments.emplace_back("--json");
  const Outcome outcome = run_program(arguments);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.out << outcome.err;
  return causes(outcome.json());
}

int processors() { return std::max(1, static_cast<int>(std::thread::hardware_concurrency())); }

TEST(DoctorCommand, NamesTooManyThreads) {
  EXPECT_THAT(doctor({"--threads", std::to_string(4 * processors()), "--affinity", "none"}),
              Contains("too_many_threads"));
}

TEST(DoctorCommand, NamesAnIsaBelowWhatTheCpuHas) {
  const nlohmann::json machine = run_program({"hw", "--no-probe", "--json"}).json();
  const bool better = machine.value("isa", "") != "generic" && machine.value("isa", "") != "neon";
  EXPECT_EQ(testing::Value(doctor({"--isa", "generic"}), Contains("isa")), better);
}

TEST(DoctorCommand, NamesProcessesThatTakeTheCpu) {
  std::vector<pid_t> children;
  for (int i = 0; i < 3 * processors(); ++i) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::alarm(300);  // never outlives the test by much
      for (;;) asm volatile("");
    }
    children.push_back(child);
  }
  const std::vector<std::string> found = doctor({});
  for (const pid_t child : children) ::kill(child, SIGKILL);
  for (const pid_t child : children) ::waitpid(child, nullptr, 0);
  EXPECT_THAT(found, Contains("run_queue"));
}

TEST(DoctorCommand, MeasuresAModelAndSpeaksBothLanguages) {
  const Outcome outcome = run_program({"doctor", test::smollm2(), "--precision", "f32", "--json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.out << outcome.err;
  const nlohmann::json object = outcome.json();
  EXPECT_THAT(causes(object), Contains("exact_precision"));
  for (const char* key : {"prefill_tps", "decode_tps", "decode_gbps", "int8_gops", "read_gbps"}) {
    EXPECT_GT(object["measured"].value(key, 0.0), 0.0) << key;
  }
  const Outcome english = run_program({"doctor", test::tiny()});
  ASSERT_EQ(english.exit_code, 0) << english.err;
  EXPECT_THAT(english.out, HasSubstr("tok/s"));
  EXPECT_THAT(english.out, HasSubstr("roofs"));
  const Outcome chinese = run_program({"doctor", "--lang", "zh", "--threads", std::to_string(4 * processors())});
  EXPECT_THAT(chinese.out, HasSubstr("[too_many_threads]"));
  EXPECT_THAT(chinese.out, HasSubstr("依据"));
  EXPECT_THAT(chinese.out, Not(HasSubstr("evidence")));
}

TEST(DoctorCommand, KnowsAColdPack) {
  const test::TemporaryFolder folder;
  const auto packing = [&] {
    const Outcome outcome = run_program({"doctor", test::smollm2(), "--json", "--cache-dir", folder / "cache"});
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return outcome.json()["measured"]["packing_ms"];
  };
  const nlohmann::json cold = packing(), warm = packing();
  ASSERT_TRUE(cold.is_number()) << cold;
  EXPECT_GT(cold.get<double>(), 0.0);
  EXPECT_TRUE(warm.is_null()) << "it kept the pack: " << warm;
}

TEST(DoctorCommand, AModelThatIsNotThereIsAnError) { EXPECT_EQ(run_program({"doctor", "/nowhere.gguf"}).exit_code, 3); }

}  // namespace
}  // namespace autoglm
