// /v1/chat/completions and /v1/completions: every field does something or is refused by name.

#include <cmath>

#include "server/api_test.h"

namespace autoglm {
namespace {

json chat(const std::string& text, json more = json::object()) {
  json body = {{"model", "dummy"}, {"messages", {{{"role", "user"}, {"content", text}}}}, {"max_tokens", 12}};
  body.update(more);
  return body;
}

json whole(Client& client, const json& body, const std::string& path = "/v1/chat/completions") {
  const Reply reply = client.post(path, body);
  EXPECT_EQ(reply.status, 200) << reply.body;
  return reply.json();
}

std::string content(const json& answer, size_t choice = 0) {
  return answer.at("choices").at(choice).at("message").at("content").get<std::string>();
}

void expect_refused(Client& client, const json& body, const std::string& field,
                    const std::string& path = "/v1/chat/completions") {
  const Reply reply = client.post(path, body);
  EXPECT_EQ(reply.status, 400) << body.dump() << reply.body;
  const json error = reply.json()["error"];
  EXPECT_EQ(error["type"], "invalid_request_error");
  EXPECT_EQ(error["param"], field) << error.dump();
  EXPECT_THAT(error["message"].get<std::string>(), HasSubstr(field)) << body.dump();
}

TEST(Chat, AnAnswerHasWhatOpenAisHas) {
  TestServer server;
  Client client = server.client();
  const json answer = whole(client, chat("hello"));
  EXPECT_EQ(answer["object"], "chat.completion");
  EXPECT_EQ(answer["model"], "dummy");
  EXPECT_THAT(answer["id"].get<std::string>(), testing::StartsWith("chatcmpl-"));
  EXPECT_GT(answer["created"], 1'700'000'000);
  EXPECT_EQ(answer["choices"].size(), 1U);
  EXPECT_EQ(answer["choices"][0]["index"], 0);
  EXPECT_EQ(answer["choices"][0]["message"]["role"], "assistant");
  EXPECT_EQ(content(answer).size(), 12U);
  EXPECT_EQ(answer["choices"][0]["finish_reason"], "length");
  EXPECT_TRUE(answer["choices"][0]["logprobs"].is_null());
  EXPECT_EQ(answer["usage"]["prompt_tokens"], 6) << "the role's letter and five more";
  EXPECT_EQ(answer["usage"]["completion_tokens"], 12);
  EXPECT_EQ(answer["usage"]["total_tokens"], 18);
  EXPECT_EQ(answer["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
  EXPECT_EQ(content(whole(client, chat("hello"))), content(answer)) << "greedy by default here";
}

TEST(Chat, DeltasPutTogetherAreTheWholeAnswer) {
  TestServer server;
  Client client = server.client();
  const json options = {{"n", 3}, {"temperature", 1.2}, {"seed", 5}, {"logprobs", true}, {"top_logprobs", 2}};
  const json at_once = whole(client, chat("some words", options));
  json streamed = chat("some words", options);
  streamed["stream"] = true;
  streamed["stream_options"] = {{"include_usage", true}};
  const Reply reply = client.post("/v1/chat/completions", streamed);
  EXPECT_EQ(reply.header("content-type"), "text/event-stream");
  const std::vector<std::string> events = reply.events();
  ASSERT_GT(events.size(), 5U);
  EXPECT_EQ(events.back(), "[DONE]");
  std::vector<std::string> texts(3);
  std::vector<std::string> finishes(3);
  std::vector<json> scores(3, json::array());
  std::vector<int> roles(3, 0);
  json usage;
  for (size_t i = 0; i + 1 < events.size(); ++i) {
    const json chunk = json::parse(events[i]);
    EXPECT_EQ(chunk["object"], "chat.completion.chunk");
    if (i + 2 == events.size()) {
      EXPECT_TRUE(chunk["choices"].empty());
      usage = chunk["usage"];
      continue;
    }
    EXPECT_TRUE(chunk["usage"].is_null());
    const json& choice = chunk["choices"].at(0);
    const auto index = choice["index"].get<size_t>();
    texts[index] += choice["delta"].value("content", "");
    if (choice["delta"].contains("role")) ++roles[index];
    if (!choice["finish_reason"].is_null()) finishes[index] += choice["finish_reason"].get<std::string>();
    if (!choice["logprobs"].is_null()) {
      for (const json& one : choice["logprobs"]["content"]) scores[index].push_back(one);
    }
  }
  EXPECT_EQ(usage["completion_tokens"], at_once["usage"]["completion_tokens"]);
  EXPECT_EQ(usage["prompt_tokens"], at_once["usage"]["prompt_tokens"]) << "a prompt counts once, whatever n";
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(texts[i], content(at_once, i));
    EXPECT_EQ(json(finishes[i]), at_once["choices"][i]["finish_reason"]);
    EXPECT_EQ(scores[i], at_once["choices"][i]["logprobs"]["content"]);
    EXPECT_EQ(scores[i].size(), 12U);
    EXPECT_EQ(scores[i][0]["top_logprobs"].size(), 2U);
    EXPECT_LE(scores[i][0]["logprob"].get<double>(), 0);
    EXPECT_EQ(roles[i], 1);
  }
  EXPECT_NE(texts[0], texts[1]) << "each choice has a seed of its own";
}

TEST(Chat, FieldsDoWhatTheySay) {
  TestServer server;
  Client client = server.client();
  const std::string plain = content(whole(client, chat("hello")));
  const auto with = [&](const json& more) { return whole(client, chat("hello", more)); };
  EXPECT_EQ(content(with({{"stop", plain.substr(4, 2)}})), plain.substr(0, plain.find(plain.substr(4, 2))));
  EXPECT_EQ(with({{"stop", {plain.substr(4, 2)}}})["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(content(with({{"max_completion_tokens", 3}, {"max_tokens", 3}})), plain.substr(0, 3));
  EXPECT_EQ(content(with({{"max_tokens", 0}})), "");
  const int first = plain[0] - 'a';
  EXPECT_NE(content(with({{"logit_bias", {{std::to_string(first), -100}, {std::to_string(first + 26), -100}}}}))[0],
            plain[0]);
  EXPECT_EQ(content(with({{"temperature", 1}, {"seed", 3}})), content(with({{"temperature", 1}, {"seed", 3}})));
  EXPECT_NE(content(with({{"temperature", 1}, {"seed", 3}})), content(with({{"temperature", 1}, {"seed", 0}})));
  EXPECT_EQ(content(with({{"temperature", 1}, {"seed", 0}})), content(with({{"temperature", 1}, {"seed", 0}})));
  EXPECT_EQ(content(with({{"temperature", 5}, {"top_k", 1}})), plain);
  EXPECT_EQ(content(with({{"temperature", 5}, {"min_p", 1}})), plain);
  EXPECT_EQ(content(with({{"temperature", 5}, {"top_p", 0}})), plain);
  EXPECT_EQ(with({{"n", 4}})["choices"].size(), 4U);
  EXPECT_EQ(content(with({{"user", "me"},
                          {"metadata", {{"a", 1}}},
                          {"store", true},
                          {"service_tier", "auto"},
                          {"keep_alive", -1},
                          {"tools", json::array()},
                          {"tool_choice", "none"},
                          {"parallel_tool_calls", true},
                          {"response_format", {{"type", "text"}}},
                          {"stream", false},
                          {"logprobs", nullptr},
                          {"presence_penalty", 0}})),
            plain);
}

TEST(Chat, WhatCannotBeHonouredIsRefusedByName) {
  TestServer server;
  Client client = server.client();
  const auto refuse = [&](const json& more, const std::string& field) {
    expect_refused(client, chat("x", more), field);
  };
  refuse({{"temperature", -1}}, "temperature");
  refuse({{"temperature", "hot"}}, "temperature");
  refuse({{"top_p", 2}}, "top_p");
  refuse({{"max_tokens", 1.5}}, "max_tokens");
  refuse({{"max_tokens", -5}}, "max_tokens");
  refuse({{"max_tokens", 5}, {"max_completion_tokens", 6}}, "max_tokens");
  refuse({{"n", 0}}, "n");
  refuse({{"n", 1000}}, "n");
  refuse({{"seed", "a"}}, "seed");
  refuse({{"stop", 5}}, "stop");
  refuse({{"stop", {""}}}, "stop");
  refuse({{"logit_bias", {{"50", 1}}}}, "logit_bias");
  refuse({{"logit_bias", {{"1", 101}}}}, "logit_bias");
  refuse({{"logit_bias", json::array({1})}}, "logit_bias");
  refuse({{"logprobs", 3}}, "logprobs");
  refuse({{"top_logprobs", 3}}, "top_logprobs");
  refuse({{"stream_options", {{"include_usage", true}}}}, "stream_options");
  refuse({{"stream", "yes"}}, "stream");
  refuse({{"reasoning_effort", "high"}}, "reasoning_effort");
  refuse({{"modalities", {"audio"}}}, "modalities");
  refuse({{"max_token", 3}}, "max_token");
  refuse({{"functions", json::array()}}, "functions");
  refuse({{"chat_template_kwargs", 3}}, "chat_template_kwargs");
  refuse({{"chat_template_kwargs", {{"tools", 1}}}}, "chat_template_kwargs");
  json stream = chat("x", {{"stream", true}, {"stream_options", {{"usage", true}}}});
  expect_refused(client, stream, "stream_options.usage");
  expect_refused(client, {{"model", "dummy"}}, "messages");
  json image = chat("x");
  image["messages"][0]["content"] = {{{"type", "text"}, {"text", "a"}},
                                     {{"type", "image_url"}, {"image_url", {{"url", "a"}}}}};
  expect_refused(client, image, "messages[0].content[1].type");
  json role = chat("x");
  role["messages"][0]["role"] = "king";
  expect_refused(client, role, "messages[0].role");
  const Reply typo = client.post("/v1/chat/completions", chat("x", {{"temprature", 1}}));
  EXPECT_THAT(typo.body, HasSubstr("did you mean temperature?"));
  EXPECT_EQ(client.post("/v1/chat/completions", json::array()).status, 400);
}

TEST(Chat, ModelsByNameAndTheContextsLimit) {
  TestServer server;
  Client client = server.client();
  for (const char* name : {"dummy", "gpt-dummy", "default"}) {
    EXPECT_EQ(whole(client, chat("hi", {{"model", name}}))["model"], name);
  }
  const Reply unknown = client.post("/v1/chat/completions", chat("hi", {{"model", "gpt-4"}}));
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(unknown.json()["error"]["code"], "model_not_found");
  EXPECT_THAT(unknown.body, HasSubstr("dummy, gpt-dummy, default"));
  const Reply longer = client.post("/v1/chat/completions", chat(std::string(300, 'a')));
  EXPECT_EQ(longer.status, 400);
  EXPECT_EQ(longer.json()["error"]["code"], "context_exceeded");
  EXPECT_THAT(longer.body, HasSubstr("301"));
  EXPECT_THAT(longer.body, HasSubstr("256"));
  json streamed = chat(std::string(300, 'a'), {{"stream", true}});
  EXPECT_EQ(client.post("/v1/chat/completions", streamed).status, 400) << "a stream that never began has a status";
}

TEST(Chat, PartsOfTextAreJoinedAndDevelopersAreTheSystem) {
  TestServer server;
  Client client = server.client();
  json parts = chat("x");
  parts["messages"] = {
      {{"role", "developer"}, {"content", "ab"}},
      {{"role", "user"}, {"content", {{{"type", "text"}, {"text", "cd"}}, {{"type", "text"}, {"text", "ef"}}}}}};
  json plain = chat("x");
  plain["messages"] = {{{"role", "system"}, {"content", "ab"}}, {{"role", "user"}, {"content", "cd\nef"}}};
  EXPECT_EQ(whole(client, parts)["choices"], whole(client, plain)["choices"]);
}

TEST(Chat, TheSecondTimeAPrefixIsCached) {
  TestServer server;
  Client client = server.client();
  const std::string prompt(100, 'q');
  const json first = whole(client, chat(prompt));
  const json second = whole(client, chat(prompt));
  EXPECT_EQ(first["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
  EXPECT_EQ(second["usage"]["prompt_tokens_details"]["cached_tokens"], 96) << "whole blocks of 16";
  EXPECT_EQ(content(first), content(second));
}

TEST(Completions, OffsetsCountCharacters) {
  ServerSetup setup;
  setup.tokenizer->pieces[0] = "\u00e9";
  TestServer server(std::move(setup));
  Client client = server.client();
  const json ask = {{"prompt", {0, 0, 0}}, {"max_tokens", 0}, {"echo", true}, {"logprobs", 0}};
  const json answer = whole(client, ask, "/v1/completions")["choices"][0];
  EXPECT_EQ(answer["text"], "\u00e9\u00e9\u00e9");
  EXPECT_EQ(answer["logprobs"]["text_offset"], json({0, 1, 2}));
}

TEST(Completions, PromptsOfEveryKindEchoAndScores) {
  TestServer server;
  Client client = server.client();
  const auto ask = [&](json body) {
    body["max_tokens"] = 6;
    return whole(client, body, "/v1/completions");
  };
  const json text = ask({{"prompt", "abc"}});
  EXPECT_EQ(text["object"], "text_completion");
  EXPECT_EQ(text["choices"][0]["text"].get<std::string>().size(), 6U);
  EXPECT_EQ(ask({{"prompt", {0, 1, 2}}})["choices"], text["choices"]);
  const json many = ask({{"prompt", {"abc", "xyz"}}, {"n", 2}});
  ASSERT_EQ(many["choices"].size(), 4U);
  EXPECT_EQ(many["choices"][0]["text"], text["choices"][0]["text"]);
  EXPECT_EQ(many["usage"]["prompt_tokens"], 6);
  EXPECT_EQ(ask({{"prompt", {{0, 1, 2}, {23, 24, 25}}}})["choices"][1]["text"], many["choices"][2]["text"]);
  const json echoed = ask({{"prompt", "abc"}, {"echo", true}, {"logprobs", 2}});
  EXPECT_EQ(echoed["choices"][0]["text"], "abc" + text["choices"][0]["text"].get<std::string>());
  const json& scores = echoed["choices"][0]["logprobs"];
  EXPECT_EQ(scores["tokens"].size(), 9U);
  EXPECT_TRUE(scores["token_logprobs"][0].is_null());
  EXPECT_TRUE(scores["top_logprobs"][0].is_null());
  EXPECT_LE(scores["token_logprobs"][1].get<double>(), 0);
  EXPECT_EQ(scores["text_offset"][8], 8);
  EXPECT_EQ(scores["top_logprobs"][5].size(), 2U);
  json streamed = {{"prompt", "abc"}, {"echo", true}, {"logprobs", 2}, {"max_tokens", 6}, {"stream", true}};
  std::string joined;
  json chosen = json::array();
  const std::vector<std::string> events = client.post("/v1/completions", streamed).events();
  for (size_t i = 0; i + 1 < events.size(); ++i) {
    const json choice = json::parse(events[i])["choices"][0];
    joined += choice["text"].get<std::string>();
    if (choice["logprobs"].is_null()) continue;
    for (const json& one : choice["logprobs"]["token_logprobs"]) chosen.push_back(one);
  }
  EXPECT_EQ(json(joined), echoed["choices"][0]["text"]);
  EXPECT_EQ(chosen, scores["token_logprobs"]);
}

TEST(Completions, AnswersThatAreOnlyTheirPrompt) {
  TestServer server;
  Client client = server.client();
  const std::string prompt(123, 'k');
  const json scored =
      whole(client, {{"prompt", prompt}, {"max_tokens", 0}, {"echo", true}, {"logprobs", 3}}, "/v1/completions");
  EXPECT_EQ(scored["choices"][0]["text"], prompt);
  EXPECT_EQ(scored["usage"]["completion_tokens"], 0);
  const json& got = scored["choices"][0]["logprobs"]["token_logprobs"];
  ASSERT_EQ(got.size(), 123U);
  for (size_t i = 1; i < got.size(); ++i) EXPECT_TRUE(got[i].is_number()) << i;
}

TEST(Completions, RefusesWhatItCannotDo) {
  TestServer server;
  Client client = server.client();
  const auto refuse = [&](const json& body, const std::string& field) {
    expect_refused(client, body, field, "/v1/completions");
  };
  refuse(json::object(), "prompt");
  refuse({{"prompt", 5}}, "prompt");
  refuse({{"prompt", json::array()}}, "prompt");
  refuse({{"prompt", {1, 99}}}, "prompt");
  refuse({{"prompt", {1, "a"}}}, "prompt");
  refuse({{"prompt", "a"}, {"suffix", "b"}}, "suffix");
  refuse({{"prompt", "a"}, {"best_of", 3}}, "best_of");
  refuse({{"prompt", "a"}, {"logprobs", 21}}, "logprobs");
  refuse({{"prompt", {"a", "b", "c"}}, {"n", 3}}, "prompt");
  EXPECT_EQ(client.post("/v1/completions", {{"prompt", ""}}).status, 400);
}

TEST(Tokens, ThereAndBack) {
  TestServer server;
  Client client = server.client();
  const json tokens = whole(client, {{"prompt", "abcz"}, {"return_token_strs", true}}, "/tokenize");
  EXPECT_EQ(tokens["tokens"], json({0, 1, 2, 25}));
  EXPECT_EQ(tokens["token_strs"][3], "z");
  EXPECT_EQ(tokens["max_model_len"], 256);
  EXPECT_EQ(whole(client, {{"messages", {{{"role", "user"}, {"content", "ab"}}}}}, "/tokenize")["tokens"],
            json({20, 0, 1}));
  EXPECT_EQ(whole(client, {{"tokens", {0, 1, 25}}}, "/detokenize")["prompt"], "abz");
  expect_refused(client, {{"tokens", {0, 50}}}, "tokens", "/detokenize");
  expect_refused(client, json::object(), "prompt", "/tokenize");
}

}  // namespace
}  // namespace autoglm
