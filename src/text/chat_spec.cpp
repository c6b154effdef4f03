#include "text/chat_spec.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "format/model_source.h"
#include "text/families/families.h"

namespace autoglm {
namespace {

/// Only for architectures that no family claims.
const ChatSpec& plain_spec() {
  static const ChatSpec spec = {.family = "plain",
                                .architectures = {},
                                .default_template =
                                    "{% for message in messages %}{{ message.role + ': ' + message.content + '\\n' }}"
                                    "{% endfor %}{{ 'assistant:' if add_generation_prompt else '' }}",
                                .ends = {},
                                .reasoning_open = "",
                                .reasoning_close = "",
                                .thinking_variable = "",
                                .tool_calls = ToolCallForm::none,
                                .marker = ""};
  return spec;
}

/// A template that did not parse: says so whenever it is used.
class BrokenTemplate : public ChatTemplate {
 public:
  // NOLINTNEXTLINE(bugprone-throw-keyword-missing): it is kept, and thrown when the template is used
  explicit BrokenTemplate(Error error) : error_(std::move(error)) {}
  Rendered render(const TemplateInput&) const override { throw error_; }

 private:
  Error error_;
};

Json parse_json_file(const ModelSource& source, std::string_view name) {
  const auto text = source.file(name);
  if (!text) return {};
  Json json = Json::parse(*text, nullptr, false);
  if (json.is_discarded() || !json.is_object()) {
    fail(Code::bad_model_file, std::string(name) + " of " + source.path().string() + " is not a JSON object");
  }
  return json;
}

/// The file's own template, empty if it has none.
std::string file_template(const ModelSource& source) {
  if (source.container() == Container::gguf) return source.metadata().text("tokenizer.chat_template", "");
  if (const auto text = source.file("chat_template.jinja")) return *text;
  const Json config = parse_json_file(source, "tokenizer_config.json");
  const auto found = config.find("chat_template");
  if (found == config.end()) return {};
  if (found->is_string()) return found->get<std::string>();
  if (!found->is_array()) return {};
  for (const Json& named : *found) {  // several, each with a name
    if (!named.is_object() || !named.contains("name") || !named.contains("template")) continue;
    if (named["name"] == "default" && named["template"].is_string()) return named["template"].get<std::string>();
  }
  return {};
}

std::string token_text(const Tokenizer& tokenizer, std::optional<int32_t> id) {
  return id ? tokenizer.piece(*id, true) : std::string();
}

}  // namespace

std::vector<const ChatSpec*> chat_specs() {
  std::vector<const ChatSpec*> all;
  for (const auto specs : {glm_chat_specs(), qwen_chat_specs(), llama_chat_specs(), gemma_chat_specs()}) {
    for (const ChatSpec& spec : specs) all.push_back(&spec);
  }
  return all;
}

const ChatSpec& chat_spec(std::string_view architecture) {
  for (const ChatSpec* spec : chat_specs()) {
    if (std::find(spec->architectures.begin(), spec->architectures.end(), architecture) != spec->architectures.end())
      return *spec;
  }
  return plain_spec();
}

const ChatSpec& chat_spec(std::string_view architecture, const Tokenizer& tokenizer) {
  for (const ChatSpec* spec : chat_specs()) {
    const bool claims =
        std::find(spec->architectures.begin(), spec->architectures.end(), architecture) != spec->architectures.end();
    if (claims && (spec->marker.empty() || tokenizer.find(spec->marker))) return *spec;
  }
  return plain_spec();
}

std::string architecture(const ModelSource& source) {
  if (source.container() == Container::gguf) return source.metadata().text("general.architecture", "");
  const Json config = parse_json_file(source, "config.json");
  const auto found = config.find("model_type");
  return found != config.end() && found->is_string() ? found->get<std::string>() : std::string();
}

ChatModel load_chat_model(const ModelSource& source, const Tokenizer& tokenizer) {
  ChatModel model;
  model.spec = &chat_spec(architecture(source), tokenizer);
  std::string text = file_template(source);
  model.template_source = text.empty() ? "built-in " + std::string(model.spec->family) : "file";
  if (text.empty()) text = model.spec->default_template;
  try {
    model.chat_template = ChatTemplate::parse(text);
  } catch (const Error& error) {  // told when it is used: text without a template still runs
    model.chat_template = std::make_shared<BrokenTemplate>(error);
  }
  model.bos_token = token_text(tokenizer, tokenizer.bos());
  model.eos_token = token_text(tokenizer, tokenizer.eos());
  model.ends = tokenizer.ends();
  for (const std::string_view end : model.spec->ends) {
    if (const auto id = tokenizer.find(end)) model.ends.push_back(*id);
  }
  std::sort(model.ends.begin(), model.ends.end());
  model.ends.erase(std::unique(model.ends.begin(), model.ends.end()), model.ends.end());
  return model;
}

}  // namespace autoglm
