// POST /v1/completions
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "server/api/openai_writer.h"
#include "server/api/prompts.h"
#include "server/api/sampling.h"

namespace autoglm {
namespace {

// As clients count them. Valid UTF-8.
int64_t characters(std::string_view text) {
  return std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

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
      const std::string text = token_text(served(), row.front().token);
      tokens.push_back(text);
      const bool first = std::isnan(row.front().logprob);
      chosen.push_back(first ? Json() : Json(row.front().logprob));
      Json top = Json::object();
      for (size_t i = 1; i < row.size(); ++i) top[token_text(served(), row[i].token)] = row[i].logprob;
      if (row.size() == 1) top[text] = row.front().logprob;
      best.push_back(first ? Json() : std::move(top));
      offsets.push_back(offset);
      offset += characters(text);
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
  const std::vector<GivenText> prompts = read_texts(fields, "prompt", served, kMostPrompts);
  fields.done();
  if (std::ssize(prompts) * n > served.most_choices) {
    fields.refuse("prompt", fmt::format("asks for {} answers at once; {} are allowed", std::ssize(prompts) * n,
                                        served.most_choices));
  }
  request.prompt_logprobs = echo && request.sampling.logprobs >= 0;

  Asked asked;
  std::vector<std::string> echoed;
  for (const GivenText& prompt : prompts) {
    request.prompt = prompt.tokens;
    request.continues = !prompt.text.empty();
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
                             .ignore_eos = request.ignore_eos,
                             .choices_per_prompt = n};
  asked.writer = std::make_unique<CompletionWriter>(served, std::move(form), asked.requests.size(),
                                                    request.sampling.logprobs >= 0, std::move(echoed));
  return asked;
}

}  // namespace autoglm
