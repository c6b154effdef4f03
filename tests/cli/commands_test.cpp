// The commands that work with a model, from outside: promised keys, exit codes, hints.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>

#include "cli/command_runner.h"
#include "support/read_file.h"
#include "support/sanitized.h"

namespace autoglm {
namespace {

using test::Outcome;
using test::read_file;
using test::run_program;
using test::smollm2;
using test::TemporaryFolder;
using test::tiny;
using testing::HasSubstr;

std::string data(const std::string& name) { return std::string(AUTOGLM_TEST_DATA) + "/" + name; }

void expect_keys(const nlohmann::json& object, const std::vector<std::string>& keys) {
  for (const std::string& key : keys)
    EXPECT_TRUE(object.contains(key)) << key << " in " << object.dump().substr(0, 500);
}

/// The error with --json, and the same one for people: message and hint on stderr, nothing on stdout.
nlohmann::json expect_error(std::vector<std::string> arguments, int exit_code, const std::string& code,
                            const test::RunOptions& options = {}) {
  const Outcome plain = run_program(arguments, options);
  EXPECT_EQ(plain.exit_code, exit_code) << plain.err;
  EXPECT_EQ(plain.out, "");
  EXPECT_THAT(plain.err, HasSubstr("error: "));
  arguments.emplace_back("--json");
  const Outcome outcome = run_program(arguments, options);
  EXPECT_FALSE(outcome.timed_out);
  EXPECT_EQ(outcome.exit_code, exit_code) << outcome.out << outcome.err;
  const nlohmann::json object = outcome.json();
  if (!object.contains("error")) {
    ADD_FAILURE() << "no error object: " << object.dump().substr(0, 500);
    return {{"message", ""}, {"hint", ""}};
  }
  EXPECT_EQ(object["error"].value("code", ""), code) << object.dump();
  EXPECT_NE(object["error"].value("message", ""), "");
  return object["error"];
}

TEST(Run, AnswersWithThePromisedKeys) {
  const Outcome outcome = run_program({"run", smollm2(), "What is 2+2?", "--temp", "0", "-n", "30", "--json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.out << outcome.err;
  const nlohmann::json object = outcome.json();
  expect_keys(object,
              {"text", "token_ids", "prompt_tokens", "completion_tokens", "finish_reason", "timings", "memory"});
  expect_keys(object["timings"], {"load_ms", "prefill_ms", "first_token_ms", "decode_ms", "prefill_tps", "decode_tps"});
  expect_keys(object["memory"], {"planned_bytes", "peak_rss_bytes"});
  EXPECT_THAT(object["text"].get<std::string>(), HasSubstr("4"));
  EXPECT_EQ(object["finish_reason"], "stop");
  EXPECT_EQ(object["token_ids"].size(), object["completion_tokens"].get<size_t>());
  // The plan is what the process was found to need: at most 5 % above it. A sanitizer's shadow memory is not ours.
  if (!test::kSanitized) {
    EXPECT_LE(object["memory"]["peak_rss_bytes"].get<double>(), 1.05 * object["memory"]["planned_bytes"].get<double>());
  }
}

TEST(Run, StreamsTheSameTextAndPrintsThePlanFirst) {
  const std::vector<std::string> arguments = {"run", smollm2(), "--temp", "0", "-n", "16"};
  const Outcome plain = run_program(arguments, {.in = "Name a fruit.\n"});
  ASSERT_EQ(plain.exit_code, 0) << plain.err;
  std::vector<std::string> as_json = arguments;
  as_json.emplace_back("--json");
  const nlohmann::json object = run_program(as_json, {.in = "Name a fruit.\n"}).json();
  EXPECT_EQ(plain.out, object.value("text", "") + "\n");
  EXPECT_THAT(plain.err, HasSubstr("planned"));
  EXPECT_THAT(plain.err, HasSubstr("tok/s"));
  std::vector<std::string> quiet = arguments;
  quiet.emplace_back("--quiet");
  EXPECT_EQ(run_program(quiet, {.in = "Name a fruit.\n"}).err, "");
}

TEST(Run, TellsWhereItsTimeWent) {
  const TemporaryFolder folder;
  const std::string trace = (folder / "trace.json").string();
  const nlohmann::json object = run_program({"run", smollm2(), "Why?", "--temp", "0", "-n", "8", "--speculation", "off",
                                             "--json", "--trace", trace})
                                    .json();
  const nlohmann::json& timings = object["timings"];
  const nlohmann::json& zones = timings["zones_ms"];
  expect_keys(zones, {"render", "tokenize", "plan", "embed", "norm_qkv", "attention", "output", "gate_up", "down",
                      "head", "sample", "detokenize", "emit", "other"});
  double sum = 0;
  for (const auto& zone : zones) sum += zone.get<double>();
  EXPECT_GE(sum, timings["prefill_ms"].get<double>() + timings["decode_ms"].get<double>());
  std::ifstream file(trace);
  const nlohmann::json events = nlohmann::json::parse(file)["traceEvents"];
  const auto attention = std::ranges::count_if(events, [](const auto& event) { return event["name"] == "attention"; });
  EXPECT_EQ(attention, 30 * 8) << "once a layer of each step: the prompt's, and those of seven tokens more";
  expect_error({"run", smollm2(), "Why?", "--trace", (folder / "none/trace.json").string()}, 2, "bad_flag");
}

TEST(Run, SeedsStopsLimitsAndRawText) {
  const auto text = [](std::vector<std::string> more) {
    std::vector<std::string> arguments = {"run", smollm2(), "Count from one to ten.", "-n", "24", "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_program(arguments).json();
  };
  EXPECT_EQ(text({"--seed", "7"})["token_ids"], text({"--seed", "7"})["token_ids"]);
  EXPECT_NE(text({"--seed", "7", "--temp", "1.5"})["token_ids"], text({"--seed", "8", "--temp", "1.5"})["token_ids"]);
  const nlohmann::json cut = text({"--temp", "0", "-n", "3"});
  EXPECT_EQ(cut["finish_reason"], "length");
  EXPECT_EQ(cut["completion_tokens"], 3);
  const std::string whole = text({"--temp", "0"})["text"];
  ASSERT_GT(whole.size(), 12U);
  const std::string stop = whole.substr(6, 4);
  const nlohmann::json stopped = text({"--temp", "0", "--stop", stop});
  EXPECT_EQ(stopped["finish_reason"], "stop");
  EXPECT_EQ(stopped["text"], whole.substr(0, whole.find(stop)));
  const nlohmann::json forever = text({"--temp", "0", "--ignore-eos", "-n", "60"});
  EXPECT_EQ(forever["completion_tokens"], 60);
  const nlohmann::json raw =
      run_program({"run", smollm2(), "Once upon a time", "--raw", "--temp", "0", "-n", "8", "--json"}).json();
  EXPECT_LT(raw.value("prompt_tokens", 99), 8);
}

TEST(Run, PromptsThatAreEmptyLongOrNoText) {
  EXPECT_THAT(expect_error({"run", smollm2(), ""}, 2, "bad_flag")["message"].get<std::string>(), HasSubstr("empty"));
  expect_error({"run", smollm2()}, 2, "bad_flag");  // nothing on standard input
  std::string megabyte;
  while (megabyte.size() < 1'000'000) megabyte += "many words in one long prompt ";
  const nlohmann::json error = expect_error({"run", smollm2()}, 4, "context_exceeded", {.in = megabyte});
  EXPECT_THAT(error["message"].get<std::string>(), testing::ContainsRegex("[0-9]{6}.*8192"));
  expect_error({"run", smollm2(), "-n", "8190"}, 4, "context_exceeded", {.in = "hello"});
  expect_error({"run", smollm2()}, 2, "bad_request", {.in = std::string("abc\xff")});
  const Outcome zeros = run_program({"run", smollm2(), "-n", "2"}, {.in = std::string("a\0b", 3)});
  EXPECT_EQ(zeros.exit_code, 0) << zeros.err;
}

TEST(Run, BadValuesAreNamed) {
  for (const auto& [flag, value] : std::vector<std::pair<std::string, std::string>>{{"--temp", "nan"},
                                                                                    {"--temp", "-1"},
                                                                                    {"--top-p", "2"},
                                                                                    {"--threads", "100000"},
                                                                                    {"--threads", "0"},
                                                                                    {"--ctx", "0"},
                                                                                    {"--isa", "z80"},
                                                                                    {"--kv-type", "q2"},
                                                                                    {"--precision", "f64"},
                                                                                    {"--memory-limit", "lots"},
                                                                                    {"-n", "many"},
                                                                                    {"--seed", "1.5"},
                                                                                    {"--logit-bias", "x"}}) {
    const Outcome outcome = run_program({"run", smollm2(), "hi", flag, value, "--json"});
    EXPECT_EQ(outcome.exit_code, 2) << flag << " " << value << outcome.out << outcome.err;
    EXPECT_TRUE(outcome.json().contains("error")) << flag;
  }
  const nlohmann::json error = expect_error({"run", smollm2(), "hi", "--tmp", "1"}, 2, "bad_flag");
  EXPECT_THAT(error["hint"].get<std::string>(), HasSubstr("--temp"));
}

TEST(Run, ModelsThatAreNone) {
  TemporaryFolder folder;
  std::filesystem::create_directory(folder / "empty");
  expect_error({"run", (folder / "nothing.gguf").string(), "hi"}, 3, "model_not_found");
  for (const std::string& path :
       {(folder / "empty").string(), std::string("/dev/zero"), std::string("/dev/null"),
        folder.write("text.gguf", "this is no model").string(), folder.write("none.gguf", "").string(),
        folder.write("cut.gguf", read_file(smollm2()).substr(0, 300000)).string()}) {
    const Outcome outcome = run_program({"run", path, "hi", "--json"}, {.seconds = 30});
    EXPECT_FALSE(outcome.timed_out) << path;
    EXPECT_EQ(outcome.exit_code, 3) << path << outcome.out << outcome.err;
    EXPECT_TRUE(outcome.json().contains("error")) << path;
  }
  expect_error({"run", tiny(), "hi"}, 3, "bad_model_file");  // no tokenizer
  if (::geteuid() != 0) {
    const std::string secret = folder.write("secret.gguf", "GGUF");
    std::filesystem::permissions(secret, std::filesystem::perms::none);
    EXPECT_EQ(run_program({"run", secret, "hi"}).exit_code, 3);
  }
}

TEST(Run, RefusesWhatDoesNotFit) {
  const nlohmann::json error = expect_error({"run", smollm2(), "hi", "--memory-limit", "64MiB"}, 4, "out_of_memory");
  EXPECT_THAT(error["message"].get<std::string>(), HasSubstr("MiB"));
  EXPECT_NE(error["hint"], "");
}

TEST(Run, CtrlCEndsItCleanly) {
  for (const std::string& phase : {std::string("planned"), std::string(" 4,")}) {
    const Outcome outcome =
        run_program({"run", smollm2(), "1, 2, 3,", "--raw", "--ignore-eos", "-n", "4000", "--temp", "0"},
                    {.seconds = 60, .interrupt_after = phase});
    EXPECT_FALSE(outcome.timed_out) << phase;
    EXPECT_EQ(outcome.exit_code, 130) << phase << outcome.err;
  }
}

TEST(Logits, PrintsAndWritesTheSameNumbers) {
  TemporaryFolder folder;
  const std::string file = (folder / "out.npy").string();
  const nlohmann::json object =
      run_program({"logits", tiny(), "--tokens", "1,2,3,4,5", "--precision", "f32", "--json"}).json();
  expect_keys(object, {"vocab_size", "positions", "logits"});
  ASSERT_EQ(object["vocab_size"], 160);
  ASSERT_EQ(object["positions"], 5);
  ASSERT_EQ(object["logits"].size(), 5U);
  ASSERT_EQ(object["logits"][0].size(), 160U);
  const Outcome written =
      run_program({"logits", tiny(), "--tokens", "1,2,3,4,5", "--precision", "f32", "--last", "2", "--out", file});
  ASSERT_EQ(written.exit_code, 0) << written.err;
  const std::string npy = read_file(file);
  ASSERT_EQ(npy.substr(0, 6), "\x93NUMPY");
  EXPECT_THAT(npy.substr(0, 128), HasSubstr("(2, 160)"));
  const size_t begin = npy.size() - 2 * 160 * sizeof(float);
  EXPECT_EQ(begin % 64, 0U);
  for (size_t i = 0; i < 320; ++i) {
    float value = 0;
    std::memcpy(&value, npy.data() + begin + i * sizeof(float), sizeof(float));
    ASSERT_EQ(value, object["logits"][3 + i / 160][i % 160].get<float>()) << "printed numbers read back exactly";
  }
  EXPECT_THAT(run_program({"logits", tiny(), "--tokens", "1,2,3"}).out, HasSubstr("2:"));
}

TEST(Logits, TokensOutOfRange) {
  EXPECT_THAT(expect_error({"logits", tiny(), "--tokens", "1,160"}, 2, "bad_request")["hint"].get<std::string>(),
              HasSubstr("159"));
  expect_error({"logits", tiny(), "--tokens", "-1"}, 2, "bad_flag");
  expect_error({"logits", tiny(), "--tokens", "1,x"}, 2, "bad_flag");
  expect_error({"logits", tiny(), "--tokens", "99999999999999999999"}, 2, "bad_flag");
  expect_error({"logits", tiny()}, 2, "bad_flag");
  std::string many = "1";
  for (int i = 0; i < 600; ++i) many += ",1";
  expect_error({"logits", tiny(), "--tokens", many}, 4, "context_exceeded");
  expect_error({"logits", tiny(), "--tokens", "1", "--out", "/nonexistent/x.npy"}, 2, "bad_flag");
}

TEST(Perplexity, IsWithinOnePercentOfLlamaCpp) {
  const nlohmann::json golden = nlohmann::json::parse(read_file(data("real/smollm2.json")));
  const Outcome outcome = run_program({"perplexity", smollm2(), data("texts/prose.txt"), "--json"}, {.seconds = 600});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.out << outcome.err;
  const nlohmann::json object = outcome.json();
  expect_keys(object, {"ppl", "ppl_stderr", "tokens"});
  const double theirs = golden["perplexity"]["value"];
  EXPECT_NEAR(object["ppl"].get<double>(), theirs, 0.01 * theirs);
  EXPECT_NEAR(object["ppl_stderr"].get<double>(), golden["perplexity"]["deviation"].get<double>(), 0.05);
  EXPECT_EQ(object["tokens"], 8 * 255);
}

TEST(Perplexity, TextsThatAreTooShort) {
  TemporaryFolder folder;
  expect_error({"perplexity", smollm2(), folder.write("short.txt", "a few words")}, 3, "bad_file");
  expect_error({"perplexity", smollm2(), (folder / "none.txt").string()}, 3, "bad_file");
  expect_error({"perplexity", smollm2(), "/"}, 3, "bad_file");
}

TEST(Tokenize, ThereAndBack) {
  const std::string text = "Hello, 世界! 👩‍👩‍👧 <|im_start|>";
  const nlohmann::json object = run_program({"tokenize", smollm2(), text, "--json"}).json();
  expect_keys(object, {"ids", "pieces"});
  EXPECT_EQ(object["ids"].size(), object["pieces"].size());
  const nlohmann::json special = run_program({"tokenize", smollm2(), text, "--special", "--json"}).json();
  EXPECT_LT(special["ids"].size(), object["ids"].size()) << "the control token is one token only with --special";
  const Outcome ids = run_program({"tokenize", smollm2()}, {.in = text});
  ASSERT_EQ(ids.exit_code, 0) << ids.err;
  const Outcome back = run_program({"detokenize", smollm2(), ids.out});
  EXPECT_EQ(back.out, text + "\n");
  TemporaryFolder folder;
  EXPECT_EQ(run_program({"tokenize", smollm2(), "--file", folder.write("t.txt", text)}).out, ids.out);
  EXPECT_EQ(run_program({"detokenize", smollm2(), ids.out, "--json"}).json().value("text", ""), text);
  expect_error({"detokenize", smollm2(), "1,99999999"}, 2, "bad_request");
  expect_error({"detokenize", smollm2(), "1,two"}, 2, "bad_flag");
  expect_error({"tokenize", tiny(), "text"}, 3, "bad_model_file");
}

TEST(Template, RendersWithTheModelsAndWithAFile) {
  TemporaryFolder folder;
  const std::string messages = folder.write("m.json", R"([{"role": "user", "content": "Hi <|im_end|>"}])");
  const nlohmann::json object =
      run_program({"template", smollm2(), "--messages", messages, "--tokenize", "--json"}).json();
  expect_keys(object, {"text", "ids"});
  EXPECT_THAT(object["text"].get<std::string>(), HasSubstr("<|im_start|>user\nHi <|im_end|><|im_end|>"));
  const std::string file = folder.write("t.jinja", "{{ messages[0].content }}{{ flag }}|{{ word }}");
  const Outcome plain = run_program(
      {"template", "--template-file", file, "--messages", messages, "--var", "flag=true", "--var", "word=x y"});
  EXPECT_EQ(plain.out, "Hi <|im_end|>True|x y") << plain.err;
  EXPECT_EQ(run_program({"template", "--template-file", file, "--messages", messages, "--json"}).json().contains("ids"),
            false);
  expect_error({"template", "--template-file", folder.write("bad.jinja", "{% if %}"), "--messages", messages}, 3,
               "bad_template");
  expect_error({"template", smollm2(), "--messages", folder.write("no.json", "{")}, 2, "bad_request");
  expect_error({"template", smollm2(), "--messages", folder.write("list.json", "[]")}, 2, "bad_request");
  expect_error({"template", smollm2()}, 2, "bad_flag");
}

TEST(Inspect, ShowsWhatIsThereAndWhatFits) {
  const nlohmann::json object =
      run_program({"inspect", smollm2(), "--fit", "--memory-limit", "512MiB", "--json"}).json();
  expect_keys(object, {"arch", "parameters", "layers", "hidden", "heads", "kv_heads", "vocab", "context", "types",
                       "tensors", "memory"});
  expect_keys(object["memory"],
              {"weights_bytes", "kv_per_token_bytes", "kv_bytes", "activations_bytes", "process_bytes", "total_bytes"});
  EXPECT_EQ(object["arch"], "llama");
  EXPECT_EQ(object["layers"], 30);
  EXPECT_EQ(object["hidden"], 576);
  EXPECT_EQ(object["heads"], 9);
  EXPECT_EQ(object["kv_heads"], 3);
  EXPECT_EQ(object["vocab"], 49152);
  EXPECT_EQ(object["context"], 8192);
  EXPECT_NEAR(object["parameters"].get<double>(), 134.5e6, 0.1e6);
  EXPECT_EQ(object["tensors"][0]["shape"].size(), 2U);
  ASSERT_EQ(object["fit"].size(), 5U) << "one a KV type";
  for (const nlohmann::json& fit : object["fit"]) {
    EXPECT_LE(fit["total_bytes"].get<int64_t>(), 512 << 20);
    EXPECT_GT(fit["context"].get<int64_t>(), 0);
  }
  const std::vector<nlohmann::json>& fits = object["fit"];
  for (size_t i = 1; i < fits.size(); ++i) {
    EXPECT_GE(fits[i - 1]["context"], fits[i]["context"]) << "what takes least comes first";
  }
  EXPECT_THAT(run_program({"inspect", tiny()}).out, HasSubstr("none in this folder"));
}

TEST(Convert, WritesAModelThatGivesTheSameLogits) {
  TemporaryFolder folder;
  const std::string file = (folder / "tiny.gguf").string();
  const nlohmann::json object = run_program({"convert", tiny(), file, "--type", "f32", "--json"}).json();
  expect_keys(object, {"bytes"});
  EXPECT_EQ(object["bytes"].get<uintmax_t>(), std::filesystem::file_size(file));
  const auto logits = [](const std::string& model) {
    return run_program({"logits", model, "--tokens", "3,1,4,1,5,9", "--precision", "f32", "--json"}).json()["logits"];
  };
  const nlohmann::json theirs = logits(file);
  const nlohmann::json ours = logits(tiny());
  ASSERT_EQ(theirs.size(), ours.size());
  // GGUF stores the rows of q and k in another order, so sums inside attention round differently.
  for (size_t row = 0; row < ours.size(); ++row) {
    for (size_t i = 0; i < ours[row].size(); ++i) {
      ASSERT_NEAR(theirs[row][i].get<float>(), ours[row][i].get<float>(), 1e-4);
    }
  }
  expect_error({"convert", file, file}, 2, "bad_flag");
  expect_error({"convert", tiny(), (folder / "").string()}, 2, "bad_flag");
  expect_error({"convert", tiny(), file, "--type", "q4_0"}, 2, "bad_flag");
}

TEST(Bench, MeasuresWithThePromisedKeys) {
  const std::vector<std::string> arguments = {"bench",  smollm2(), "--prompt", "40", "--gen", "6",
                                              "--reps", "2",       "--depth",  "20", "--json"};
  const nlohmann::json object = run_program(arguments).json();
  expect_keys(object, {"prefill_tps", "prefill_tps_min", "prefill_tps_max", "decode_tps", "decode_tps_min",
                       "decode_tps_max", "step_ms", "first_token_ms", "load_ms", "peak_rss_bytes", "weight_bytes",
                       "prefill_gops", "decode_gbps", "int8_gops", "read_gbps", "logits_hash"});
  expect_keys(object, {"prefill_roof_share", "prefill_roof_share_min", "prefill_roof_share_max", "decode_roof_share",
                       "decode_roof_share_min", "decode_roof_share_max", "weight_pages", "huge_page_share",
                       "step_weight_bytes", "step_kv_bytes", "int8_gops_min", "read_gbps_min", "prefill_roof"});
  EXPECT_EQ(object["prefill_roof"], "int8");
  EXPECT_EQ(object["rounds"], 2);
  expect_keys(object["decode_zones"], {"embed", "norm_qkv", "attention", "output", "gate_up", "down", "head"});
  expect_keys(object["prefill_zones"], {"attention", "gate_up"});
  EXPECT_GT(object["zones_per_step"], 5 * 30);  // SmolLM2 has 30 layers
  EXPECT_GT(object["zone_share"], 0);
  EXPECT_GT(object["decode_roof_share"], 0);
  EXPECT_GT(object["prefill_roof_share"], 0);
  // 20 tokens before, 21 to 26 read by the six steps.
  const auto deeper = [&](const char* depth) {
    std::vector<std::string> more = arguments;
    more[9] = depth;
    more.emplace_back("--no-probe");
    return run_program(more).json()["step_kv_bytes"].get<double>();
  };
  EXPECT_NEAR(deeper("120") / object["step_kv_bytes"].get<double>(), 123.5 / 23.5, 1e-6);
  EXPECT_LE(object["prefill_tps_min"], object["prefill_tps"]);
  EXPECT_LE(object["decode_tps"], object["decode_tps_max"]);
  EXPECT_GT(object["decode_gbps"], 0);
  // Random tokens are a fixed sequence, and the sums are the same however many threads or sequences compute them.
  std::vector<std::string> other = arguments;
  other.insert(other.end(), {"--threads", "1", "--no-probe"});
  const nlohmann::json unprobed = run_program(other).json();
  EXPECT_EQ(unprobed["logits_hash"], object["logits_hash"]);
  EXPECT_TRUE(unprobed["decode_roof_share"].is_null());
  EXPECT_FALSE(unprobed["decode_tps"].is_null());
  EXPECT_EQ(object["logits_hash"].get<std::string>().size(), 16U);
  expect_error({"bench", smollm2(), "--prompt", "0", "--gen", "0"}, 2, "bad_flag");
  expect_error({"bench", smollm2(), "--prompt", "100000"}, 4, "context_exceeded");
  expect_error({"bench", smollm2(), "--write", "x.gguf"}, 2, "bad_flag");
  expect_error({"bench", smollm2(), "--shape", "smollm2-135m"}, 2, "bad_flag");
  expect_error({"bench", "--shape", "smollm2-135m", "--type", "Q9"}, 2, "bad_flag");
  EXPECT_THAT(expect_error({"bench", "--shape", "smollm2-135"}, 2, "bad_flag")["hint"].get<std::string>(),
              HasSubstr("smollm2-135m"));
  EXPECT_THAT(expect_error({"bench"}, 2, "bad_flag")["hint"].get<std::string>(), HasSubstr("--shape"));
  expect_error({"bench", smollm2(), "--depth", "8000", "--prompt", "200"}, 4, "context_exceeded");
  expect_error({"bench", smollm2(), "--reps", "0"}, 2, "bad_flag");
  expect_error({"bench", smollm2(), "--batch", "0"}, 2, "bad_flag");
  const nlohmann::json many =
      expect_error({"bench", tiny(), "--batch", "4096", "--gen", "1", "--prompt", "1", "--memory-limit", "32MiB"}, 4,
                   "out_of_memory");
  EXPECT_THAT(many["hint"].get<std::string>(), HasSubstr("--batch"));
  expect_error({"bench", "--shape", "llama-8b", "--type", "Q8_0", "--memory-limit", "1GiB"}, 4, "out_of_memory");
}

TEST(Bench, SequencesTogetherAndAlone) {
  const auto together = [](const std::string& batch) {
    return run_program({"bench", smollm2(), "--prompt", "8", "--gen", "1", "--reps", "1", "--batch", batch,
                        "--no-probe", "--json"})
        .json();
  };
  const nlohmann::json three = together("3");
  EXPECT_EQ(three["batch"], 3);
  // One step, which decodes a token of each; the speed is that of all.
  EXPECT_NEAR(three["decode_tps"].get<double>() * three["step_ms"].get<double>() / 1e3, 3, 1e-6);
  EXPECT_NEAR(three["step_kv_bytes"].get<double>(), 3 * together("1")["step_kv_bytes"].get<double>(), 3);
}

TEST(Bench, ARandomModelIsTheSameInMemoryAndAsAFile) {
  TemporaryFolder folder;
  const std::string path = (folder / "random.gguf").string();
  const std::vector<std::string> shape = {"--shape", "smollm2-135m", "--type", "Q4_K_M"};
  const auto bench = [](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "bench");
    arguments.emplace_back("--json");
    const Outcome outcome = run_program(arguments);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.out << outcome.err;
    return outcome.json();
  };
  const std::vector<std::string> small = {"--prompt", "12", "--gen", "2", "--reps", "1", "--no-probe"};
  std::vector<std::string> in_memory = shape;
  in_memory.insert(in_memory.end(), small.begin(), small.end());
  std::vector<std::string> write = shape;
  write.insert(write.end(), {"--write", path});
  EXPECT_EQ(bench(write)["bytes"].get<uintmax_t>(), std::filesystem::file_size(path));
  std::vector<std::string> as_file = {path};
  as_file.insert(as_file.end(), small.begin(), small.end());
  EXPECT_EQ(bench(as_file)["logits_hash"], bench(in_memory)["logits_hash"]);
  const nlohmann::json words = run_program({"tokenize", path, "hello", "--json"}).json();
  std::string together;
  for (const nlohmann::json& piece : words["pieces"]) together += piece.get<std::string>();
  EXPECT_EQ(together, "hello");
  EXPECT_LT(words["ids"].size(), 5U) << "letters were not merged into words";
}

}  // namespace
}  // namespace autoglm
