// selftest: the owner of a model compares what we compute with transformers, where that is installed.
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/process.h"
#include "cli/commands.h"
#include "cli/open.h"
#include "cli/score.h"
#include "engine/chat.h"

namespace autoglm {
namespace {

constexpr std::array kTexts = {"Hello, world! It's 12:30.",
                               "你好，世界！这是一个测试。",
                               "  leading,   inner   and trailing spaces   ",
                               "emoji 👩‍👩‍👧 and flags 🇨🇳, combining e\u0301 and \u0928\u093f",
                               "def f(x):\n\treturn x ** 2  # 3.14159\n\n\n",
                               "1234567890 3,141,592 0x7fff",
                               "ÀÉÎõü ß ﬁ Å Ω Ж ж א ب क ไ 한글 日本語",
                               "a\u200bb\u00a0c\u3000d\r\ne\tf",
                               "'s 't 're 've 'm 'll 'd I'LL",
                               "https://example.com/a?b=c&d=%20#x",
                               "!!!???...,,,;;;---___",
                               "MiXeD CaSe wOrDs"};

/// Where the script lies: beside the program (share/autoglm), or in the source tree.
std::filesystem::path script_path() {
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  for (const std::filesystem::path& path :
       {program / "../share/autoglm/selftest.py", program / "../../tools/selftest.py",
        program / "../../../tools/selftest.py", program / "../../../../tools/selftest.py"}) {
    std::error_code ignored;
    if (std::filesystem::exists(path, ignored)) return path;
  }
  fail(Code::work_failed, "selftest.py is not beside this program", "install it again, or run it from the source tree");
}

Json conversations() {
  return Json::parse(R"([
    {"name": "one question", "variables": {}, "messages": [{"role": "user", "content": "Why is the sky blue?"}]},
    {"name": "system and two turns", "variables": {}, "messages": [
      {"role": "system", "content": "Be brief."}, {"role": "user", "content": "  Hi  "},
      {"role": "assistant", "content": "Hello!"}, {"role": "user", "content": "你好\n世界"}]},
    {"name": "look-alike marks", "variables": {}, "messages": [
      {"role": "user", "content": "print <|user|> and </s> and <think>"}]}
  ])");
}

Json text_cases(const Tokenizer& tokenizer) {
  Json cases = Json::array();
  EncodeOptions options;
  options.special = true;  // as Hugging Face does
  for (const char* text : kTexts) cases.push_back({{"text", text}, {"ids", tokenizer.encode(text, options)}});
  return cases;
}

Json chat_cases(const Tokenizer& tokenizer, const ChatModel& chat) {
  Json cases = Json::array();
  for (Json one : conversations()) {
    try {
      one["text"] = make_prompt(tokenizer, chat, one["messages"]).text;
    } catch (const Error& error) {
      if (error.code() != Code::bad_template) throw;
      one["text"] = nullptr;  // the template refuses it: transformers must, too
    }
    cases.push_back(std::move(one));
  }
  return cases;
}

Json logit_case(Context& context, const ModelSource& source, const Tokenizer* tokenizer) {
  std::vector<int32_t> tokens;
  if (tokenizer != nullptr) {
    for (const char* text : kTexts) {
      const std::vector<int32_t> ids = tokenizer->encode(text);
      tokens.insert(tokens.end(), ids.begin(), ids.end());
    }
    tokens.resize(std::min<size_t>(tokens.size(), 64));
  } else {
    for (int32_t i = 1; i <= 32; ++i) tokens.push_back(i);
  }
  LoadOptions options = load_options(context);
  // The exact path is what an oracle can judge; what --precision auto costs on top is `compare`'s business.
  options.precision = Precision::f32;
  options.kv_type = KvType::f32;
  const auto count = static_cast<int64_t>(tokens.size());
  const std::unique_ptr<OpenedModel> opened =
      open_and_load(context, scoring_options(options, count, count), false, count);
  check_tokens(tokens, opened->model->spec().vocabulary);
  Json rows = Json::array();
  score(
      *opened->model, tokens, 0, [&](int64_t) { context.interrupt().check(); },
      [&](int64_t, std::span<const float> row) { rows.push_back(std::vector<float>(row.begin(), row.end())); });
  return {{"tokens", tokens}, {"rows", std::move(rows)}, {"precision", "f32"}, {"path", source.path().string()}};
}

int run(Context& context) {
  const std::filesystem::path script = script_path();
  if (!program_exists("python3")) {
    fail(Code::work_failed, "python3 is not installed", "install Python 3, then: pip install transformers torch");
  }
  const std::shared_ptr<const ModelSource> source = open_source(context);
  const std::unique_ptr<Tokenizer> tokenizer = load_tokenizer(*source);
  Json input = {{"model", std::filesystem::absolute(source->path()).string()},
                {"texts", Json::array()},
                {"chats", Json::array()}};
  if (tokenizer) {
    const ChatModel chat = load_chat_model(*source, *tokenizer);
    input["texts"] = text_cases(*tokenizer);
    input["chats"] = chat_cases(*tokenizer, chat);
  }
  input["logits"] = logit_case(context, *source, tokenizer.get());
  context.note("asking transformers ...");
  ProcessOptions options;
  options.in = input.dump(-1, ' ', false, Json::error_handler_t::replace);
  options.tick = [&] { return !context.interrupt().requested(); };
  const ProcessResult result = run_process({"python3", script.string()}, options);
  context.interrupt().check();
  const nlohmann::json checks = nlohmann::json::parse(result.out, nullptr, false);
  if (result.exit_code != 0 || !checks.is_array()) {
    fail(Code::work_failed, fmt::format("the comparison did not run: {}", result.err),
         "pip install transformers torch (for GGUF files also gguf accelerate)");
  }
  bool all = true;
  for (const nlohmann::json& check : checks) all = all && check.value("ok", false);
  if (context.json()) {
    context.print_json({{"checks", checks}});
  } else {
    for (const nlohmann::json& check : checks) {
      context.print(fmt::format("{}  {}: {}\n", check.value("ok", false) ? "ok  " : "FAIL", check.value("name", ""),
                                check.value("detail", "")));
    }
  }
  return all ? 0 : 1;
}

}  // namespace

const Command kSelftest = {
    .name = "selftest",
    .summary = {"compare a model with transformers", "与 transformers 对照检验模型"},
    .positionals = {{.name = "MODEL", .required = true, .help = {"the model", "模型"}}},
    .details = {"Token ids, template bytes and logits (on the exact f32 path) against transformers, which must be "
                "installed: pip install transformers torch (for GGUF files also gguf accelerate). The model's code is "
                "never downloaded.",
                "将 token 编号、模板字节和 logits（精确 f32 路径）与 transformers 对照；需要先安装：pip install "
                "transformers torch（GGUF 文件还需要 gguf accelerate）。不会下载模型代码。"},
    .examples = {{"autoglm selftest GLM-4-9B-0414/", {"before you trust it", "使用之前先检验"}}},
    .json_keys = "checks[{name, ok, detail}]",
    .run = run,
};

}  // namespace autoglm
