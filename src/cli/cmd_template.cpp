// template: what a model is really given when messages are sent to it.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/open.h"
#include "engine/chat.h"
#include "text/chat_messages.h"

namespace autoglm {
namespace {

PromptOptions prompt_options(const Settings& settings) {
  PromptOptions options;
  if (const auto tools = settings.text_if("template.tools")) {
    options.tools = parse_tools(read_text(*tools));
  }
  options.add_generation_prompt = settings.boolean("template.generation_prompt");
  for (const std::string& text : settings.list("template.var")) {
    const size_t equals = text.find('=');
    if (equals == 0 || equals == std::string::npos) {
      fail(Code::bad_flag, fmt::format("--var {} is not K=V", text), "for example --var enable_thinking=false");
    }
    const std::string value = text.substr(equals + 1);
    check_utf8(text, "--var");
    const bool json = Json::accept(value);
    options.variables[text.substr(0, equals)] = json ? parse_chat_json(value, "--var") : Json(value);
  }
  return options;
}

// With --template-file: no model, no tokens. BOS and EOS come as --var bos_token=... if the template wants them.
std::string render_file(const std::string& path, const Json& messages, const PromptOptions& options) {
  TemplateInput input;
  input.messages = messages;
  input.tools = options.tools;
  input.variables = options.variables;
  input.add_generation_prompt = options.add_generation_prompt;
  const auto text_of = [&](const char* key) {
    const auto it = input.variables.find(key);
    return it != input.variables.end() && it->is_string() ? it->get<std::string>() : std::string();
  };
  input.bos_token = text_of("bos_token");
  input.eos_token = text_of("eos_token");
  return ChatTemplate::parse(read_text(path))->render(input).text;
}

int run(Context& context) {
  const Settings& settings = context.settings();
  const std::optional<std::string> messages_file = settings.text_if("template.messages");
  if (!messages_file) fail(Code::bad_flag, "no messages were given", "--messages FILE.json (- is standard input)");
  const Json messages = parse_messages(read_text(*messages_file));
  const PromptOptions options = prompt_options(settings);
  const bool tokenize = settings.boolean("template.tokenize");
  const std::optional<std::string> file = settings.text_if("template.file");
  nlohmann::json object;
  std::string text;
  std::vector<int32_t> ids;
  if (file && !tokenize) {
    text = render_file(*file, messages, options);
  } else {
    const std::shared_ptr<const ModelSource> source = open_source(context, false);
    const std::unique_ptr<Tokenizer> tokenizer = open_tokenizer(*source);
    ChatModel chat = load_chat_model(*source, *tokenizer);
    if (file) {
      chat.chat_template = ChatTemplate::parse(read_text(*file));
    } else {
      context.note(fmt::format("template: {}", chat.template_source));
    }
    Prompt prompt = make_prompt(*tokenizer, chat, messages, options);
    text = std::move(prompt.text);
    ids = std::move(prompt.tokens);
  }
  if (context.json()) {
    object["text"] = text;
    if (tokenize) object["ids"] = ids;
    context.print_json(object);
    return 0;
  }
  context.print(tokenize ? fmt::format("{}\n", fmt::join(ids, ",")) : text);
  return 0;
}

}  // namespace

const Command kTemplate = {
    .name = "template",
    .summary = {"render a chat with a model's template", "用模型的模板渲染对话"},
    .positionals = {{.name = "MODEL",
                     .required = false,
                     .help = {"the model; not needed with --template-file", "模型；使用 --template-file 时不需要"}}},
    .details = {"The text is printed to the byte, without a line break at its end; with --tokenize the ids instead.",
                "逐字节打印文本，末尾不加换行；使用 --tokenize 时打印编号。"},
    .examples = {{"autoglm template model.gguf --messages chat.json",
                  {"the prompt that a model sees", "模型看到的提示"}}},
    .json_keys = "text, with --tokenize also ids",
    .run = run,
};

}  // namespace autoglm
