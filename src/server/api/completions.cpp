// POST /v1/completions
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "server/api/openai_writer.h"
#include "server/api/sampling.h"
#include "text/utf8.h"

namespace autoglm {
namespace {

struct Text {
  std::vector<int32_t> tokens;
  std::string text;  // for echo
};

class CompletionWriter final : public OpenAiWriter {
 public:
  CompletionWriter(const Served& served, Form form, size_t choices, bool logprobs, std::vector<std::string> echo)
      : OpenAiWriter(served, std::move(form), choices),
        logprobs_(logprobs),
        echo_(std::move(echo)),
        offsets_(choices, 0) {}

 private:
  Json delta(int index, Choice& choice, const Event& event) override {
    std::string text = std::exchange(choice.opened, true) ? "" : echo_of(index);
    text += event.text;
    return body_of(index, choice, std::move(text),
                   event.kind == Event::Kind::finish ? Json(openai_finish(event.finish)) : Json());
  }

  void add_call(Choice& choice, const Event& event) override { choice.text += event.text; }  // none: no tools are given

  Json whole(int index, Choice& choice) override {
    return body_of(index, choice, echo_of(index) + choice.text, Json(openai_finish(choice.finish)));
  }

  Json body_of(int index, Choice& choice, std::string text, Json finish) {
    Json body = Json::object();
    body["index"] = index;
    body["text"] = std::move(text);
    body["logprobs"] = scores(index, choice);
    body["finish_reason"] = std::move(finish);
    return body;
  }

  std::string echo_of(int index) const { return echo_.empty() ? "" : echo_.at(static_cast<size_t>(index)); }

  // Four lists of one length: what OpenAI's older API has.
  Json scores(int index, Choice& choice) {
    const ScoredTokens scored = std::exchange(choice.scored, {});
    if (!logprobs_ || scored.logprobs.empty()) return {};
    int64_t& offset = offsets_.at(static_cast<size_t>(index));
    Json tokens = Json::array();
    Json chosen = Json::array();
    Json best = Json::array();
    Json offsets = Json::array();
    for (const std::vector<TokenLogprob>& row : scored.logprobs) {
      const std::string text = token_text(row.front().token);
      tokens.push_back(text);
      const bool first = std::isnan(row.front().logprob);
      chosen.push_back(first ? Json() : Json(row.front().logprob));
      Json top = Json::object();
      for (size_t i = 1; i < row.size(); ++i) top[token_text(row[i].token)] = row[i].logprob;
      if (row.size() == 1) top[text] = row.front().logprob;
      best.push_back(first ? Json() : std::move(top));
      offsets.push_back(offset);
      offset += std::ssize(text);
    }
    Json body = Json::object();
    body["tokens"] = std::move(tokens);
    body["token_logprobs"] = std::move(chosen);
    body["top_logprobs"] = std::move(best);
    body["text_offset"] = std::move(offsets);
    return body;
  }

  bool logprobs_;
  std::vector<std::string> echo_;
  std::vector<int64_t> offsets_;
};

constexpr size_t kMostPrompts = 1024;

bool all_ids(const Json& list, int64_t vocabulary) {
  return std::ranges::all_of(list,
                             [&](const Json& one) { return one.is_number_integer() && one >= 0 && one < vocabulary; });
}

Text from_string(const Served& served, const std::string& text) {
  return {.tokens = make_raw_prompt(*served.tokenizer, text).tokens, .text = text};
}

Text from_ids(const Served& served, const Json& ids) {
  Text result;
  result.tokens = ids.get<std::vector<int32_t>>();
  result.text = utf8::lossy(served.tokenizer->decode(result.tokens, true));
  return result;
}

// A string, a list of strings, a list of ids, or a list of those.
std::vector<Text> read_prompts(Fields& fields, const Served& served) {
  const Json* given = fields.any("prompt");
  if (given == nullptr) fields.refuse("prompt", "is missing");
  std::vector<Text> prompts;
  if (given->is_string()) return {from_string(served, given->get<std::string>())};
  if (!given->is_array() || given->empty())
    fields.refuse("prompt", "must be a text, a list of texts, or a list of ids");
  if (given->size() > kMostPrompts && !given->front().is_number()) {
    fields.refuse("prompt", fmt::format("has {} entries; {} are allowed", given->size(), kMostPrompts));
  }
  const int32_t size = served.tokenizer->size();
  if (all_ids(*given, size)) return {from_ids(served, *given)};
  for (const Json& one : *given) {
    if (one.is_string()) {
      prompts.push_back(from_string(served, one.get<std::string>()));
    } else if (one.is_array() && all_ids(one, size)) {
      prompts.push_back(from_ids(served, one));
    } else {
      fields.refuse("prompt", fmt::format("has an entry that is neither text nor ids from 0 to {}", size - 1));
    }
  }
  return prompts;
}

}  // namespace

Asked completions(const Served& served, const HttpRequest& http, const Json& body) {
  Fields fields(body);
  const std::string model = fields.text("model").value_or(served.name);
  check_model(served, model);
  Request request = read_request(fields, served, http);
  request.max_tokens = fields.integer("max_tokens", 0, INT32_MAX).value_or(16);  // OpenAI's default
  if (const auto logprobs = fields.integer("logprobs", 0, 20)) request.sampling.logprobs = static_cast<int>(*logprobs);
  const int64_t n = fields.integer("n", 1, served.most_choices).value_or(1);
  fields.only("best_of", n, "no more answers are made than are given");
  const bool echo = fields.boolean("echo").value_or(false);
  const bool stream = fields.boolean("stream").value_or(false);
  const bool include_usage = read_include_usage(fields, stream);
  fields.only("suffix", "", "text can only be continued");
  ignore_harmless(fields);
  const std::vector<Text> prompts = read_prompts(fields, served);
  fields.done();
  if (std::ssize(prompts) * n > served.most_choices) {
    fields.refuse("prompt", fmt::format("asks for {} answers at once; {} are allowed", std::ssize(prompts) * n,
                                        served.most_choices));
  }
  request.prompt_logprobs = echo && request.sampling.logprobs >= 0;

  Asked asked;
  std::vector<std::string> echoed;
  for (const Text& prompt : prompts) {
    request.prompt = prompt.tokens;
    std::ranges::move(copies(request, n), std::back_inserter(asked.requests));
    if (echo) echoed.insert(echoed.end(), static_cast<size_t>(n), prompt.text);
  }
  OpenAiWriter::Form form = {.path = http.path,
                             .id = fresh_id("cmpl-"),
                             .object = "text_completion",
                             .chunk_object = "text_completion",
                             .model = model,
                             .created = unix_time(),
                             .stream = stream,
                             .include_usage = include_usage,
                             .choices_per_prompt = n};
  asked.writer = std::make_unique<CompletionWriter>(served, std::move(form), asked.requests.size(),
                                                    request.sampling.logprobs >= 0, std::move(echoed));
  return asked;
}

}  // namespace autoglm
