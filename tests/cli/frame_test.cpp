// The frame: parsing, help, errors, exit codes, streams. Commands have tests of their own.
#include <gtest/gtest.h>

#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "cli/command.h"
#include "cli/command_runner.h"
#include "cli/display.h"
#include "cli/help.h"
#include "cli/machine_settings.h"
#include "cli/parse.h"
#include "support/read_file.h"
#include "support/temporary_folder.h"

namespace autoglm {
namespace {

using test::Outcome;
using test::read_file;
using test::run_program;  // the built program; autoglm::run_program is what its main() calls
using test::RunOptions;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

const Command kProbe = {
    .name = "run",
    .summary = {"test", "test"},
    .positionals = {{"MODEL", true, {"", ""}}, {"PROMPT", false, {"", ""}}},
};

ParsedCommandLine parse(const std::vector<std::string>& words) { return parse_command_line(kProbe, words); }

std::vector<std::string> values(const ParsedCommandLine& parsed, std::string_view flag) {
  for (const ParsedFlag& found : parsed.flags) {
    if (found.setting->flag == flag) return found.values;
  }
  return {};
}

std::string error_of(const std::vector<std::string>& words) {
  try {
    parse(words);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::bad_flag);
    return std::string(error.what()) + " | " + error.hint();
  }
  return "";
}

TEST(Parse, ValuesArriveAsTheyWereWritten) {
  const auto parsed = parse({"m", "--stop", "[END]", "--temp", "-1", "a b", "--stop", "--x", "--stop=", "-n5"});
  EXPECT_EQ(parsed.positionals, (std::vector<std::string>{"m", "a b"}));
  EXPECT_EQ(values(parsed, "--stop"), (std::vector<std::string>{"[END]", "--x", ""}));
  EXPECT_EQ(values(parsed, "--temp"), (std::vector<std::string>{"-1"}));
  EXPECT_EQ(values(parsed, "--max-tokens"), (std::vector<std::string>{"5"}));
}

TEST(Parse, APromptIsNotTakenApart) {
  EXPECT_EQ(parse({"m", "[a,b]"}).positionals, (std::vector<std::string>{"m", "[a,b]"}));
  EXPECT_EQ(parse({"m", ""}).positionals, (std::vector<std::string>{"m", ""}));
  EXPECT_EQ(parse({"m", "config"}).positionals, (std::vector<std::string>{"m", "config"}));
  EXPECT_EQ(parse({"m", "--", "-5 + 3"}).positionals, (std::vector<std::string>{"m", "-5 + 3"}));
  EXPECT_EQ(parse({"m", "line\nline"}).positionals, (std::vector<std::string>{"m", "line\nline"}));
}

TEST(Parse, SwitchesHaveTwoForms) {
  EXPECT_EQ(values(parse({"m", "--no-cache"}), "--cache"), (std::vector<std::string>{"false"}));
  EXPECT_EQ(values(parse({"m", "--no-cache", "--cache"}), "--cache").back(), "true");
  EXPECT_EQ(values(parse({"m", "--raw"}), "--raw"), (std::vector<std::string>{"true"}));
}

TEST(Parse, MistakesNameTheNearest) {
  EXPECT_THAT(error_of({"m", "--tmp", "1"}), HasSubstr("did you mean --temp?"));
  EXPECT_THAT(error_of({"m", "--max-token=3"}), HasSubstr("did you mean --max-tokens?"));
  EXPECT_THAT(error_of({"m", "--port", "80"}), HasSubstr("it belongs to: serve"));
  EXPECT_THAT(error_of({"m", "p", "q"}), HasSubstr("does not know what to do with 'q'"));
  EXPECT_THAT(error_of({"m", "--temp"}), HasSubstr("--temp"));
}

TEST(Display, WidthsAndLines) {
  EXPECT_EQ(display_width("abc"), 3);
  EXPECT_EQ(display_width("中文a"), 5);
  EXPECT_EQ(display_width("e\xcc\x81"), 1);
  EXPECT_EQ(display_width("\xff\xfe"), 2);
  EXPECT_EQ(wrap("one two three", 8), (std::vector<std::string>{"one two", "three"}));
  EXPECT_EQ(wrap("中文字符，好", 6), (std::vector<std::string>{"中文字", "符，好"}));
  EXPECT_EQ(wrap("one two\nthree four", 20), (std::vector<std::string>{"one two", "three four"}));
  EXPECT_THAT(wrap("", 8), IsEmpty());
}

TEST(MachineSettings, PrecisionImpliesTheKvTypeUnlessGiven) {
  Machine machine = read_machine();
  Settings settings;
  settings.set("precision.strategy", "f32", Origin::flag, "");
  apply_machine(settings, machine, "zh_CN.UTF-8");
  EXPECT_EQ(settings.text("kv_cache.type"), "f32");
  EXPECT_EQ(settings.language(), Language::zh);
  Settings given;
  given.set("precision.strategy", "f32", Origin::flag, "");
  given.set("kv_cache.type", "q8", Origin::environment, "");
  apply_machine(given, machine, "");
  EXPECT_EQ(given.text("kv_cache.type"), "q8");
  EXPECT_EQ(given.integer("runtime.threads"), machine.threads());
}

TEST(MachineSettings, AffinityIsCheckedAgainstTheMachine) {
  Machine machine;
  machine.allowed = {{0, 0, 0}, {1, 1, 0}, {5, 2, 0}};
  machine.physical_cores = 3;
  const auto cpus = [&](const std::string& affinity, const std::string& threads) {
    Settings settings;
    settings.set("runtime.affinity", affinity, Origin::flag, "");
    settings.set("runtime.threads", threads, Origin::flag, "");
    return affinity_cpus(settings, machine);
  };
  EXPECT_EQ(cpus("auto", "3"), (std::vector<int>{0, 1, 5}));
  EXPECT_THAT(cpus("none", "3"), IsEmpty());
  EXPECT_EQ(cpus("0-1,5", "2"), (std::vector<int>{0, 1, 5}));
  EXPECT_THROW(cpus("0-2", "2"), Error);
  EXPECT_THROW(cpus("0", "2"), Error);
  EXPECT_THROW(cpus("all", "1"), Error);
}

// --- what is written from the tables ---

TEST(Documents, TheCommittedPagesAreThoseOfTheTable) {
  for (const auto& [language, file] : {std::pair{Language::en, "CONFIG.md"}, {Language::zh, "CONFIG.zh.md"}}) {
    EXPECT_EQ(read_file(std::filesystem::path(AUTOGLM_SOURCE_DIR) / "docs" / file), config_document(language))
        << "write it again: autoglm config --docs " << (language == Language::en ? "en" : "zh") << " > docs/" << file;
  }
}

TEST(Documents, EveryFlagOfEveryCommandIsInHelpCompletionManAndConfig) {
  const std::string bash = bash_completion();
  const std::string zsh = zsh_completion();
  const std::string man = man_page();
  const std::string config = config_document(Language::en);
  for (const Setting& setting : settings_table()) {
    if (setting.hidden) continue;
    const std::string flag(setting.flag);
    EXPECT_THAT(config, HasSubstr("`" + flag + "`"));
    EXPECT_THAT(config, HasSubstr("`" + environment_name(setting) + "`"));
    EXPECT_THAT(config, HasSubstr("`" + std::string(setting.key) + "`"));
    std::string dashes;
    for (const char c : flag) dashes += c == '-' ? "\\-" : std::string(1, c);
    bool taken = false;
    for (const Command* command : commands()) {
      if (command->hidden || !takes(command->name, setting)) continue;
      taken = true;
      for (const Language language : {Language::en, Language::zh}) {
        EXPECT_THAT(command_page(*command, language), HasSubstr(flag.substr(2))) << command->name;
      }
    }
    if (!taken) continue;  // a setting of a command that another version has
    EXPECT_THAT(bash, testing::AnyOf(HasSubstr(" " + flag + " "), HasSubstr(" " + flag + "\""))) << flag;
    EXPECT_THAT(zsh, HasSubstr(flag + "["));
    EXPECT_THAT(man, HasSubstr(dashes));
  }
  for (const Command* command : commands()) {
    EXPECT_FALSE(command->summary.en.empty()) << command->name;
    EXPECT_FALSE(command->summary.zh.empty()) << command->name;
    if (command->hidden) continue;
    EXPECT_THAT(overview_page(Language::en), HasSubstr("\n  " + std::string(command->name) + " "));
    EXPECT_THAT(man, HasSubstr("\n.SS " + std::string(command->name) + "\n"));
  }
}

TEST(Documents, ShellsAcceptTheirScripts) {
  const test::TemporaryFolder folder;
  const auto script = folder.write("completion", bash_completion() + R"(
COMP_WORDS=(autoglm config --kv-type b); COMP_CWORD=3; _autoglm; echo "${COMPREPLY[*]}"
COMP_WORDS=(autoglm conf); COMP_CWORD=1; _autoglm; echo "${COMPREPLY[*]}"
COMP_WORDS=(autoglm hw --no-pr); COMP_CWORD=2; _autoglm; echo "${COMPREPLY[*]}"
)");
  FILE* pipe = popen(("bash " + script.string() + " 2>&1").c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  std::string out(1000, '\0');
  out.resize(fread(out.data(), 1, out.size(), pipe));
  EXPECT_EQ(pclose(pipe), 0);
  EXPECT_EQ(out, "bf16\nconfig\n--no-probe\n");
}

// --- the program ---

TEST(Program, HelpIsOnStdoutInTheLanguageAskedFor) {
  for (const auto& words : std::vector<std::vector<std::string>>{{}, {"--help"}, {"-h"}, {"help"}}) {
    const Outcome run = run_program(words);
    EXPECT_EQ(run.exit_code, 0);
    EXPECT_EQ(run.out, overview_page(Language::en));
    EXPECT_THAT(run.err, IsEmpty());
  }
  EXPECT_EQ(run_program({"config", "--help"}).out, command_page(*find_command("config"), Language::en));
  EXPECT_EQ(run_program({"help", "config"}).out, command_page(*find_command("config"), Language::en));
  EXPECT_EQ(run_program({"config", "--lang", "zh", "--help"}).out, command_page(*find_command("config"), Language::zh));
  EXPECT_EQ(run_program({"--help"}, {.environment = {"LC_ALL=", "LANG=zh_CN.UTF-8"}}).out, overview_page(Language::zh));
  EXPECT_EQ(run_program({"--help"}, {.environment = {"LC_ALL=zh_CN.UTF-8", "AUTOGLM_LANG=en"}}).out,
            overview_page(Language::en));
}

TEST(Program, ErrorsAreASentenceAndAHintOnStderr) {
  const Outcome run = run_program({"config", "--temp", "nan"});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.out, IsEmpty());
  EXPECT_EQ(run.err, "error: --temp: 'nan' is not a number: 0 to 100, or auto is accepted\n");
  EXPECT_EQ(run_program({"config", "--threads", "100000"}).exit_code, 2);
  const Outcome unknown = run_program({"confg"});
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_EQ(unknown.err, "error: there is no command 'confg'\nhint: did you mean `autoglm config`?\n");
  EXPECT_THAT(run_program({"confg", "--lang", "zh"}).err, HasSubstr("错误："));
}

TEST(Program, JsonErrorsAreOneObjectOnStdout) {
  for (const auto& words : std::vector<std::vector<std::string>>{
           {"config", "--json", "--temp", "nan"}, {"nonsense", "--json"}, {"config", "--json", "--nonsense"}}) {
    const Outcome run = run_program(words);
    EXPECT_EQ(run.exit_code, 2);
    EXPECT_THAT(run.err, IsEmpty());
    const nlohmann::json error = run.json().at("error");
    EXPECT_EQ(error.at("code"), "bad_flag");
    EXPECT_FALSE(error.at("message").get<std::string>().empty());
    EXPECT_TRUE(error.at("hint").is_string());
  }
  const Outcome bytes = run_program({"config", "--json", "--temp", "\xff\xfe"});
  EXPECT_EQ(bytes.json().at("error").at("code"), "bad_flag");
}

TEST(Program, ConfigTellsOriginsAndItsOutputCanBeGivenBack) {
  const test::TemporaryFolder folder;
  const auto file = folder.write("config.yaml", "kv_cache: {type: bf16}\nsampling: {top_k: 7, top_p: 0.5}\n");
  const std::vector<std::string> words = {"config", "--config", file.string(), "--top-p", "0.25", "--json"};
  const RunOptions options{.environment = {"AUTOGLM_TOP_K=9", "AUTOGLM_PROFILE=efficient"}};
  const Outcome run = run_program(words, options);
  ASSERT_EQ(run.exit_code, 0) << run.err;
  std::map<std::string, nlohmann::json> rows;
  const nlohmann::json first = run.json();
  for (const auto& row : first.at("settings")) rows[row.at("key")] = row;
  EXPECT_EQ(rows.at("sampling.top_p").at("value"), 0.25);
  EXPECT_EQ(rows.at("sampling.top_p").at("origin"), "flag");
  EXPECT_EQ(rows.at("sampling.top_k").at("value"), 9);
  EXPECT_EQ(rows.at("sampling.top_k").at("origin"), "environment");
  EXPECT_EQ(rows.at("kv_cache.type").at("value"), "bf16");
  EXPECT_EQ(rows.at("kv_cache.type").at("origin"), "file");
  EXPECT_EQ(rows.at("batching.max_batch_size").at("value"), 8);
  EXPECT_EQ(rows.at("batching.max_batch_size").at("origin"), "profile");
  EXPECT_EQ(rows.at("runtime.threads").at("origin"), "profile") << "efficient takes half of them";
  EXPECT_FALSE(rows.at("runtime.threads").at("reason").get<std::string>().empty());
  EXPECT_EQ(rows.at("server.port").at("origin"), "default");

  const Outcome yaml = run_program({"config", "--top-k", "3"}, options);
  folder.write("config.yaml", yaml.out);
  const Outcome again = run_program({"config", "--config", file.string(), "--json"});
  ASSERT_EQ(again.exit_code, 0) << again.out;
  const nlohmann::json second = again.json();
  for (const auto& row : second.at("settings")) rows[row.at("key")] = row;
  EXPECT_EQ(rows.at("sampling.top_k").at("value"), 3);
  EXPECT_EQ(rows.at("batching.max_batch_size").at("value"), 8);
  folder.write("config.yaml", "kv_cache: {typ: bf16}\n");
  EXPECT_THAT(run_program({"config", "--config", file.string()}).err, HasSubstr("did you mean kv_cache.type?"));
}

TEST(Program, ConfigOfAModelSaysWhatTheModelAdds) {
  const std::string model = AUTOGLM_TEST_DATA "/models/glm4-a";
  const Outcome run = run_program({"config", model, "--json"});
  ASSERT_EQ(run.exit_code, 0) << run.out << run.err;
  const nlohmann::json config = run.json();
  std::map<std::string, nlohmann::json> rows;
  for (const auto& row : config.at("settings")) rows[row.at("key")] = row;
  EXPECT_EQ(rows.at("model").at("value"), model);
  EXPECT_EQ(rows.at("context").at("origin"), "machine");
  EXPECT_GT(rows.at("context").at("value").get<int>(), 0);
  EXPECT_TRUE(rows.at("sampling.temperature").at("value").is_number());
  EXPECT_FALSE(rows.at("sampling.temperature").at("reason").get<std::string>().empty());
  EXPECT_EQ(run_program({"config", "/nonexistent/model"}).exit_code, 3);
}

TEST(Program, UnknownNamesInTheEnvironmentWarnButDoNotStop) {
  const Outcome run = run_program({"version"}, {.environment = {"AUTOGLM_TEMPP=1", "AUTOGLM_PORT=tcp://1.2.3.4:5"}});
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_THAT(run.err, HasSubstr("did you mean AUTOGLM_TEMP?"));
  EXPECT_THAT(run.err, Not(HasSubstr("tcp")));
  EXPECT_EQ(run_program({"version"}, {.environment = {"AUTOGLM_ISA=nonsense"}}).exit_code, 2);
}

TEST(Program, VersionSaysWhatWasBuilt) {
  const nlohmann::json version = run_program({"version", "--json"}).json();
  EXPECT_TRUE(version.at("version").is_string());
  EXPECT_TRUE(version.at("commit").is_string());
  EXPECT_THAT(version.at("isas").get<std::vector<std::string>>(), testing::Contains("ref"));
  EXPECT_THAT(run_program({"--version"}).out, HasSubstr("autoglm "));
}

TEST(Program, AClosedStdoutIsNoCrash) {
  const Outcome gone = run_program({"config"}, {.close_reader = true});
  EXPECT_EQ(gone.exit_code, 0);
  EXPECT_THAT(gone.err, IsEmpty());
  const Outcome closed = run_program({"config"}, {.close_stdout = true});
  EXPECT_EQ(closed.exit_code, 1);
  EXPECT_THAT(closed.err, HasSubstr("cannot write to stdout"));
}

TEST(Program, HwGivesThePromisedKeys) {
  const Outcome run = run_program({"hw", "--json", "--no-probe"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const nlohmann::json hw = run.json();
  EXPECT_TRUE(hw.at("isa").is_string());
  EXPECT_GE(hw.at("threads").get<int>(), 1);
  EXPECT_GT(hw.at("memory_limit_bytes").get<int64_t>(), 0);
  EXPECT_FALSE(hw.contains("int8_gops"));  // was not measured
}

TEST(Program, HwMeasuresTheRoofs) {
  const Outcome run = run_program({"hw", "--json", "--threads", "1"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const nlohmann::json hw = run.json();
  EXPECT_EQ(hw.at("threads"), 1);
  // No machine that runs this is a hundred times slower than a core of 2010, nor faster than any there is.
  for (const auto& [key, least, most] : {std::tuple{"int8_gops", 0.5, 1e6},
                                         {"bf16_gops", 0.2, 1e6},
                                         {"read_gbps", 0.1, 1e5},
                                         {"read_gbps_small_pages", 0.1, 1e5},
                                         {"read_gbps_huge_pages", 0.1, 1e5}}) {
    EXPECT_GT(hw.at(key).get<double>(), least) << key;
    EXPECT_LT(hw.at(key).get<double>(), most) << key;
  }
}

TEST(Program, AnInterruptEndsWithItsExitCode) {
  Interrupt interrupt;
  interrupt.request();
  EXPECT_EQ(autoglm::run_program({"hw", "--quiet"}, {}, interrupt), 130);
}

TEST(Program, ProcessPriorityIsApplied) {
  const int before = getpriority(PRIO_PROCESS, 0);
  const Outcome run = run_program({"version", "--priority", "low"});
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_EQ(getpriority(PRIO_PROCESS, 0), before);
}

}  // namespace
}  // namespace autoglm
