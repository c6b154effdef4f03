// The body of a request to any POST route: an Error, or requests for the engine whose answer can be worded.
//
// The input's first line is "ROUTE FAMILY" (another word chooses some route), the rest is the body.
#include <fmt/format.h>

#include <map>
#include <string>
#include <string_view>

#include "base/error.h"
#include "engine/answer_grammar.h"
#include "server/api/api.h"
#include "server/api/errors.h"
#include "text/chat_messages.h"

namespace {

using namespace autoglm;

/// Ids are bytes; 256 ends an answer.
class ByteTokenizer final : public Tokenizer {
 public:
  std::vector<int32_t> encode(std::string_view text, const EncodeOptions&) const override {
    std::vector<int32_t> ids;
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }
  std::string piece(int32_t id, bool) const override { return id == 256 ? "" : std::string(1, static_cast<char>(id)); }
  std::string decode(std::span<const int32_t> ids, bool special) const override {
    std::string text;
    for (const int32_t id : ids) text += piece(id, special);
    return text;
  }
  int32_t size() const override { return 257; }
  TokenKind kind(int32_t id) const override { return id == 256 ? TokenKind::control : TokenKind::normal; }
  std::optional<int32_t> find(std::string_view) const override { return {}; }
  std::optional<int32_t> bos() const override { return {}; }
  std::optional<int32_t> eos() const override { return 256; }
  std::vector<int32_t> ends() const override { return {256}; }
  bool adds_bos() const override { return false; }
  std::string description() const override { return "bytes"; }
  int64_t bytes() const override { return 0; }
};

struct Family {
  Family(const ChatSpec& spec, const Tokenizer& tokenizer) {
    chat.spec = &spec;
    chat.chat_template = ChatTemplate::parse(spec.default_template, {.steps = 100'000});
    chat.ends = {256};
    grammars = std::make_unique<GrammarCompiler>(tokenizer, chat, 257);
    served.name = "model";
    served.version = "1";
    served.tokenizer = &tokenizer;
    served.chat = &chat;
    served.grammars = grammars.get();
    served.embedding = {.pooling = Pooling::mean, .dimensions = 4, .may_cut = true};
    served.context = 4096;
    served.vocabulary = 257;
    served.most_choices = 4;
  }
  ChatModel chat;
  std::unique_ptr<GrammarCompiler> grammars;
  Served served;
};

const Family& family(std::string_view name) {
  static const ByteTokenizer tokenizer;
  static std::map<std::string_view, std::unique_ptr<Family>> families;
  const ChatSpec* chosen = chat_specs().front();
  for (const ChatSpec* spec : chat_specs()) {
    if (spec->family == name) chosen = spec;
  }
  std::unique_ptr<Family>& made = families[chosen->family];
  if (!made) made = std::make_unique<Family>(*chosen, tokenizer);
  return *made;
}

const Route& route(std::string_view path) {
  std::vector<const Route*> posts;
  for (const Route& one : routes()) {
    if (one.method != "POST") continue;
    if (one.path == path) return one;
    posts.push_back(&one);
  }
  return *posts[(path.size() + (path.empty() ? 0U : static_cast<unsigned char>(path.front()))) % posts.size()];
}

// A short answer of every kind, with bytes that are no UTF-8.
void word(const Asked& asked) {
  const auto say = [&](int choice, Event::Kind kind, std::string text) {
    Event event;
    event.kind = kind;
    event.tool = kind == Event::Kind::tool_call ? "tool" : "";
    event.text = std::move(text);
    if (kind == Event::Kind::embedding) event.embedding = {1, 2, 3, 4};
    if (kind == Event::Kind::text) event.tokens = {65};
    if (kind == Event::Kind::text) event.logprobs = {{{65, -0.5f}, {66, -1.5f}}};
    if (kind == Event::Kind::finish) event.finish = choice % 2 == 0 ? FinishReason::stop : FinishReason::length;
    Piece piece;
    asked.writer->take({choice, std::move(event)}, piece);
    return piece;
  };
  bool ended = false;
  for (int i = 0; i < static_cast<int>(asked.requests.size()); ++i) {
    if (asked.requests[static_cast<size_t>(i)].embed != Pooling::none) {
      say(i, Event::Kind::embedding, "");
    } else {
      say(i, Event::Kind::reasoning, "hm");
      say(i, Event::Kind::text,
          "a\xFF"
          "b");
      if (asked.requests[static_cast<size_t>(i)].tools) say(i, Event::Kind::tool_call, R"({"x": 1})");
    }
    const Piece last = say(i, Event::Kind::finish, "");
    ended = last.last || last.whole;
    if (last.whole) AUTOGLM_CHECK(Json::accept(last.whole->body), "an answer is JSON");
  }
  AUTOGLM_CHECK(ended, "the last choice's end is the answer's");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t line = std::min(text.find('\n'), text.size());
  const size_t space = std::min(text.find(' '), line);
  const Route& chosen = route(text.substr(0, space));
  const Served& served = family(space < line ? text.substr(space + 1, line - space - 1) : "").served;
  HttpRequest http;
  http.method = "POST";
  http.path = chosen.path;
  try {
    const Json body = parse_chat_json(text.substr(std::min(line + 1, text.size())), "the body");
    if (chosen.compute != nullptr) {
      AUTOGLM_CHECK(Json::accept(chosen.compute(served, body).body), "an answer is JSON");
    } else {
      word(chosen.ask(served, http, body));
    }
  } catch (const Error& error) {
    const HttpResponse response = error_response(http.path, error);
    AUTOGLM_CHECK(Json::accept(response.body), "an error is JSON");
    AUTOGLM_CHECK(response.status >= 400 && response.status < 500, "a client's fault is 4xx");
  }
  return 0;
}
