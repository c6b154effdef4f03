#include "engine/chat.h"

#include <fmt/format.h>

#include <cmath>

#include "base/zone.h"
#include "text/chat_continuation.h"
#include "text/chat_messages.h"

namespace autoglm {
namespace {

// The template may have opened the reasoning itself ("<think>\n" at the prompt's very end).
ReasoningStart reasoning_start(const ChatModel& chat, std::string_view text) {
  if (chat.spec == nullptr || chat.spec->reasoning_open.empty()) return ReasoningStart::none;
  const size_t end = text.find_last_not_of(" \t\r\n");
  if (end == std::string_view::npos) return ReasoningStart::at_mark;
  return text.substr(0, end + 1).ends_with(chat.spec->reasoning_open) ? ReasoningStart::open : ReasoningStart::at_mark;
}

// The answer goes on with a message: what it has said already, and whether that is a thought.
void describe_unfinished(const ChatModel& chat, const Rendered& rendered, Prompt& prompt) {
  const ChatSpec* spec = chat.spec;
  Unfinished end = end_of(rendered, spec == nullptr ? std::string_view() : spec->reasoning_open,
                          spec == nullptr ? std::string_view() : spec->reasoning_close);
  prompt.said = std::move(end.said);
  prompt.continues = !prompt.said.empty();
  if (spec == nullptr || spec->reasoning_open.empty()) return;
  if (end.mark == spec->reasoning_open) {
    prompt.reasoning = ReasoningStart::open;
  } else if (end.mark.empty() || prompt.said.empty()) {  // behind a thought that was left out another may follow
    prompt.reasoning = ReasoningStart::at_mark;
  }
}

Json message(std::string_view role, std::string_view content) {
  Json result = Json::object();
  result["role"] = role;
  result["content"] = content;
  return result;
}

bool is_system(const Json& messages) { return !messages.empty() && messages.front().value("role", "") == "system"; }

// A number of the configuration, if it is there and in range; `neutral` if it is null (Hugging Face's "not used").
bool take(const Json& config, const char* key, double low, double high, double& value) {
  const auto it = config.find(key);
  if (it == config.end() || it->is_null()) return false;
  if (!it->is_number() || !(it->get<double>() >= low && it->get<double>() <= high)) {
    fail(Code::bad_model_file, fmt::format("generation_config.json: {} is {}", key, it->dump()),
         fmt::format("{} takes a number from {} to {}", key, low, high));
  }
  value = it->get<double>();
  return true;
}

Json folder_config(const ModelSource& source) {
  const std::optional<std::string> text = source.file("generation_config.json");
  if (!text) return Json::object();
  Json config = Json::parse(*text, nullptr, false);
  if (!config.is_object()) {
    fail(Code::bad_model_file, "generation_config.json is not a JSON object", "download the model again");
  }
  return config;
}

Json gguf_config(const Metadata& metadata) {
  constexpr std::pair<const char*, const char*> kKeys[] = {
      {"general.sampling.temp", "temperature"},
      {"general.sampling.top_k", "top_k"},
      {"general.sampling.top_p", "top_p"},
      {"general.sampling.min_p", "min_p"},
      {"general.sampling.penalty_repeat", "repetition_penalty"},
  };
  Json config = Json::object();
  for (const auto& [key, name] : kKeys) {
    if (metadata.has(key)) config[name] = metadata.number(key);
  }
  return config;
}

}  // namespace

Prompt make_prompt(const Tokenizer& tokenizer, const ChatModel& chat, const Json& messages,
                   const PromptOptions& options) {
  ZoneStamp zone(Zone::render);
  check_messages(messages);
  TemplateInput input;
  input.messages = messages;
  input.tools = options.tools;
  input.variables = options.variables;
  input.add_generation_prompt = options.add_generation_prompt;
  input.bos_token = chat.bos_token;
  input.eos_token = chat.eos_token;
  Rendered rendered = options.unfinished.empty()
                          ? chat.chat_template->render(input)
                          : render_unfinished(*chat.chat_template, std::move(input), options.unfinished);
  zone.next(Zone::tokenize);
  EncodeOptions encode;
  encode.origin = &rendered.origin;
  Prompt prompt;
  prompt.tokens = tokenizer.encode(rendered.text, encode);
  if (!options.unfinished.empty()) {
    describe_unfinished(chat, rendered, prompt);
  } else if (options.add_generation_prompt) {
    prompt.reasoning = reasoning_start(chat, rendered.text);
  }
  prompt.text = std::move(rendered.text);
  return prompt;
}

Prompt make_raw_prompt(const Tokenizer& tokenizer, std::string_view text) {
  const ZoneStamp zone(Zone::tokenize);
  Prompt prompt;
  prompt.text = text;
  prompt.continues = !text.empty();
  EncodeOptions encode;
  encode.special = true;
  encode.add_special = true;
  prompt.tokens = tokenizer.encode(text, encode);
  return prompt;
}

void Conversation::set_system(std::string_view text) {
  if (is_system(messages_)) messages_.erase(messages_.begin());
  if (!text.empty()) messages_.insert(messages_.begin(), message("system", text));
}

void Conversation::add_user(std::string_view text) { messages_.push_back(message("user", text)); }

void Conversation::add_assistant(std::string_view text, std::string_view reasoning) {
  Json answer = message("assistant", text);
  if (!reasoning.empty()) answer["reasoning_content"] = reasoning;
  messages_.push_back(std::move(answer));
}

void Conversation::drop_last() {
  if (messages_.size() > (is_system(messages_) ? 1U : 0U)) messages_.erase(messages_.size() - 1);
}

void Conversation::clear() {
  Json kept = Json::array();
  if (is_system(messages_)) kept.push_back(messages_.front());
  messages_ = std::move(kept);
}

void Conversation::set_messages(Json messages) {
  check_messages(messages);
  messages_ = std::move(messages);
}

void Conversation::set_thinking(bool on) {
  if (chat_->spec == nullptr || chat_->spec->thinking_variable.empty()) return;
  options_.variables[std::string(chat_->spec->thinking_variable)] = on;
}

SamplingDefaults sampling_defaults(const ModelSource& source) {
  const bool folder = source.container() == Container::safetensors;
  const Json config = folder ? folder_config(source) : gguf_config(source.metadata());
  double temperature = 1.0;
  double top_k = 0.0;
  double top_p = 1.0;
  double min_p = 0.0;
  double repetition = 1.0;
  bool said = take(config, "temperature", 0, 100, temperature);
  said |= take(config, "top_k", 0, 1 << 30, top_k);
  said |= take(config, "top_p", 1e-6, 1, top_p);
  said |= take(config, "min_p", 0, 1, min_p);
  const bool penalty = take(config, "repetition_penalty", 0.01, 100, repetition);
  SamplingDefaults result;
  result.origin = "built in";
  if (said) {
    result.params.temperature = static_cast<float>(temperature);
    result.params.top_k = static_cast<int>(top_k);
    result.params.top_p = static_cast<float>(top_p);
    result.params.min_p = static_cast<float>(min_p);
  }
  if (penalty) result.params.repetition_penalty = static_cast<float>(repetition);
  if (said || penalty) result.origin = folder ? "generation_config.json" : "the file's general.sampling keys";
  return result;
}

}  // namespace autoglm
