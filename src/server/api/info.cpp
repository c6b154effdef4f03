// Routes that need no engine: what is served, and its tokenizer.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "server/api/api.h"
#include "server/api/fields.h"
#include "server/api/messages.h"
#include "text/utf8.h"

namespace autoglm {
namespace {

HttpResponse json_response(const Json& body) {
  HttpResponse response;
  response.body = to_text(body);
  return response;
}

Json model_card(const Served& served, const std::string& name) {
  Json card = Json::object();
  card["id"] = name;
  card["object"] = "model";
  card["created"] = served.created;
  card["owned_by"] = "autoglm";
  card["root"] = served.name;
  card["parent"] = nullptr;
  card["max_model_len"] = served.context;
  return card;
}

std::vector<std::string> known_names(const Served& served) {
  std::vector<std::string> names = {served.name};
  names.insert(names.end(), served.aliases.begin(), served.aliases.end());
  names.emplace_back("default");
  return names;
}

}  // namespace

void check_model(const Served& served, std::string_view name) {
  const std::vector<std::string> names = known_names(served);
  if (std::ranges::find(names, name) != names.end()) return;
  fail(Code::model_not_found, fmt::format("the model '{}' is not served here", name.substr(0, 120)),
       fmt::format("known are {}", fmt::join(names, ", ")));
}

HttpResponse version_info(const Served& served) { return json_response(Json{{"version", served.version}}); }

HttpResponse list_models(const Served& served) {
  Json list = Json::array();
  for (const std::string& name : known_names(served)) {
    if (name != "default" || served.aliases.empty()) list.push_back(model_card(served, name));
  }
  Json body = Json::object();
  body["object"] = "list";
  body["data"] = std::move(list);
  return json_response(body);
}

HttpResponse tokenize(const Served& served, const Json& body) {
  Fields fields(body);
  if (const auto model = fields.text("model")) check_model(served, *model);
  const bool pieces =
      fields.boolean("return_token_strs").value_or(false) || fields.boolean("with_pieces").value_or(false);
  const bool add_special = fields.boolean("add_special_tokens").value_or(true);
  const auto new_turn = fields.boolean("add_generation_prompt");
  const bool go_on = fields.boolean("continue_final_message").value_or(false);
  if (go_on && new_turn.value_or(false)) {
    fields.refuse("continue_final_message", "and add_generation_prompt exclude each other");
  }
  std::optional<std::string> text = fields.text("prompt");
  if (!text) text = fields.text("content");  // llama-server's name
  const Json* messages = fields.any("messages");
  fields.done();
  std::vector<int32_t> ids;
  if (text) {
    EncodeOptions encode;
    encode.special = true;
    encode.add_special = add_special;
    ids = served.tokenizer->encode(*text, encode);
  } else if (messages != nullptr) {
    PromptOptions options;
    options.add_generation_prompt = new_turn.value_or(true);
    ids = chat_prompt(served, *messages, std::move(options), go_on).tokens;
  } else {
    fields.refuse("prompt", "is missing", "give a prompt, or messages");
  }
  Json answer = Json::object();
  answer["count"] = ids.size();
  answer["max_model_len"] = served.context;
  answer["tokens"] = ids;
  if (pieces) {
    Json texts = Json::array();
    for (const int32_t id : ids) texts.push_back(utf8::lossy(served.tokenizer->piece(id, true)));
    answer["token_strs"] = std::move(texts);
  }
  return json_response(answer);
}

HttpResponse detokenize(const Served& served, const Json& body) {
  Fields fields(body);
  if (const auto model = fields.text("model")) check_model(served, *model);
  const Json* tokens = fields.any("tokens");
  fields.done();
  const bool ids = tokens != nullptr && tokens->is_array() && std::ranges::all_of(*tokens, [&](const Json& one) {
                     return one.is_number_integer() && one >= 0 && one < served.tokenizer->size();
                   });
  if (!ids) fields.refuse("tokens", fmt::format("must be a list of ids from 0 to {}", served.tokenizer->size() - 1));
  const std::string text = utf8::lossy(served.tokenizer->decode(tokens->get<std::vector<int32_t>>(), true));
  Json answer = Json::object();
  answer["prompt"] = text;
  answer["content"] = text;
  return json_response(answer);
}

}  // namespace autoglm
