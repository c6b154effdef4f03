// Ollama's API: /api/chat, /api/generate, /api/tags, /api/show. Streams are a line of JSON an event, and the default.
#include "server/api/ollama.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>

#include "server/api/errors.h"
#include "server/api/messages.h"
#include "server/api/openai_writer.h"
#include "server/api/sampling.h"
#include "server/api/shape.h"

namespace autoglm {
namespace {

std::string timestamp(int64_t seconds) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}Z", fmt::gmtime(static_cast<std::time_t>(seconds)));
}

class OllamaWriter final : public Writer {
 public:
  OllamaWriter(std::string path, std::string model, bool chat, bool stream)
      : path_(std::move(path)), model_(std::move(model)), chat_(chat), stream_(stream) {}

  std::string_view content_type() const override { return "application/x-ndjson"; }

  bool streams() const override { return stream_; }
  void take(Happening&& happening, Piece& piece) override {
    const Event& event = happening.event;
    if (event.error) return fail(*event.error, piece);
    if (event.finish == FinishReason::cancelled) return fail({Code::cancelled, "the request was cancelled"}, piece);
    if (event.kind == Event::Kind::tool_call) {
      add_call(event);
    } else {
      (event.kind == Event::Kind::reasoning ? thought_ : text_) += event.text;
    }
    const bool finish = event.kind == Event::Kind::finish;
    if (stream_ && !event.text.empty()) {
      piece.bytes += to_text(line()) + "\n";
      begun_ = true;
    }
    if (!finish) return;
    Json last = line();
    const Usage& usage = event.usage;
    const auto nanoseconds = [](double ms) { return static_cast<int64_t>(ms * 1e6); };
    last["done"] = true;
    last["done_reason"] = openai_finish(event.finish);
    last["total_duration"] = nanoseconds(usage.queue_ms + usage.prefill_ms + usage.decode_ms);
    last["load_duration"] = 0;
    last["prompt_eval_count"] = usage.prompt_tokens;
    last["prompt_eval_duration"] = nanoseconds(usage.prefill_ms);
    last["eval_count"] = usage.completion_tokens;
    last["eval_duration"] = nanoseconds(usage.decode_ms);
    if (!stream_) {
      piece.whole = HttpResponse{.body = to_text(last)};
      return;
    }
    piece.bytes += to_text(last) + "\n";
    piece.last = true;
  }

 private:
  void fail(const Error& error, Piece& piece) {
    if (!begun_) {
      piece.whole = error_response(path_, error);
      return;
    }
    piece.bytes += to_text(error_body(path_, info(error.code()).http_status, error)) + "\n";
    piece.last = true;
  }

  // Arguments are an object in this API, not a string.
  void add_call(const Event& event) {
    Json function = Json::object();
    function["index"] = called_++;
    function["name"] = event.tool;
    function["arguments"] = Json::parse(event.text, nullptr, false);
    calls_.push_back(Json{{"id", fresh_id("call_")}, {"function", std::move(function)}});
  }

  // What has come since the last line.
  Json line() {
    const std::string text = std::exchange(text_, {});
    const std::string thought = std::exchange(thought_, {});
    Json body = Json::object();
    body["model"] = model_;
    body["created_at"] = timestamp(unix_time());
    if (chat_) {
      Json message = Json::object();
      message["role"] = "assistant";
      message["content"] = text;
      if (!thought.empty()) message["thinking"] = thought;
      if (!calls_.empty()) message["tool_calls"] = std::exchange(calls_, Json::array());
      body["message"] = std::move(message);
    } else {
      body["response"] = text;
      if (!thought.empty()) body["thinking"] = thought;
    }
    body["done"] = false;
    return body;
  }

  const std::string path_;
  const std::string model_;
  const bool chat_;
  const bool stream_;
  bool begun_ = false;
  std::string text_;
  std::string thought_;
  Json calls_ = Json::array();
  int64_t called_ = 0;
};

// Sampling has an object of its own; its names differ a little.
Request read_options(Fields& fields, const Served& served, const HttpRequest& http) {
  Request request = served.defaults;
  request.client = http.client;
  const Json* options = fields.object("options");
  if (options == nullptr) return request;
  Fields inner(*options, "options.");
  SamplingParams& params = request.sampling;
  const auto real = [&inner](std::string_view name, double low, double high, float& value) {
    if (const auto given = inner.number(name, low, high)) value = static_cast<float>(*given);
  };
  real("temperature", 0, 100, params.temperature);
  real("top_p", 1e-5, 1, params.top_p);
  real("min_p", 0, 1, params.min_p);
  real("repeat_penalty", 0.01, 100, params.repetition_penalty);
  real("presence_penalty", -2, 2, params.presence_penalty);
  real("frequency_penalty", -2, 2, params.frequency_penalty);
  if (const auto top_k = inner.integer("top_k", 0, 1 << 30)) params.top_k = static_cast<int>(*top_k);
  if (const auto seed = inner.integer("seed", INT64_MIN, INT64_MAX)) params.seed = seed_of(*seed);
  if (const auto most = inner.integer("num_predict", -2, INT32_MAX)) request.max_tokens = std::max<int64_t>(-1, *most);
  request.stop = read_stops(inner, "stop");
  if (const auto ctx = inner.integer("num_ctx", 1, INT32_MAX); ctx && *ctx > served.context) {
    inner.refuse("num_ctx", fmt::format("is {}, and this server's context has {} tokens", *ctx, served.context),
                 "start it with a larger --ctx");
  }
  inner.ignore(
      {"num_thread", "num_gpu", "main_gpu", "num_batch", "numa", "use_mmap", "num_keep"});  // the server's affair
  inner.done();
  return request;
}

// What both kinds of answers share, and what neither can do.
struct Common {
  bool stream = true;
  PromptOptions options;
  AskedShape shape;
};
Common read_common(Fields& fields, const Served& served) {
  Common common;
  common.stream = fields.boolean("stream").value_or(true);
  const Json* format = fields.any("format");
  if (format != nullptr && *format == "json") {
    ask_json_object("format", common.shape);
  } else if (format != nullptr && format->is_object()) {
    ask_json_schema("format", *format, common.shape);
  } else if (format != nullptr && !(format->is_string() && format->get_ref<const std::string&>().empty())) {
    fields.refuse("format", "must be 'json' or a JSON schema");
  }
  const Json* think = fields.any("think");
  if (think != nullptr) {
    const bool level = *think == "low" || *think == "medium" || *think == "high";
    if (!think->is_boolean() && !level) fields.refuse("think", "must be true, false, low, medium or high");
    set_thinking(fields, "think", served, level || think->get<bool>(), common.options.variables);
  }
  fields.ignore({"keep_alive"});
  return common;
}

Asked asked_for(const Served& served, const AskedShape& shape, Request request, Prompt prompt,
                std::unique_ptr<Writer> writer) {
  apply_prompt(served, shape, std::move(prompt), request);
  Asked asked;
  asked.writer = std::move(writer);
  asked.requests.push_back(std::move(request));
  return asked;
}

void refuse_images(const Json& messages) {
  if (!messages.is_array()) return;
  for (const Json& message : messages) {
    if (message.is_object() && message.contains("images") && !message["images"].empty()) {
      throw FieldError("messages", "messages has images, and this model reads none");
    }
  }
}

}  // namespace

std::string read_ollama_model(Fields& fields, const Served& served) {
  std::string model = fields.text("model").value_or(served.name);
  std::string plain = model.ends_with(":latest") ? model.substr(0, model.size() - 7) : model;
  check_model(served, plain);
  return model;
}

Asked ollama_chat(const Served& served, const HttpRequest& http, const Json& body) {
  Fields fields(body);
  const std::string model = read_ollama_model(fields, served);
  const Json* messages = fields.any("messages");
  if (messages == nullptr) fields.refuse("messages", "is missing");
  refuse_images(*messages);
  Request request = read_options(fields, served, http);
  Common common = read_common(fields, served);
  if (const Json* tools = fields.any("tools")) offer_tools(fields, served, *tools, common.shape);
  common.options.tools = common.shape.tools_for_template;
  fields.done();
  // As Ollama does: an answer goes on with the message of an assistant that comes last.
  Prompt prompt = chat_prompt(served, *messages, common.options, ends_with_assistant(*messages));
  return asked_for(served, common.shape, std::move(request), std::move(prompt),
                   std::make_unique<OllamaWriter>(http.path, model, true, common.stream));
}

Asked ollama_generate(const Served& served, const HttpRequest& http, const Json& body) {
  Fields fields(body);
  const std::string model = read_ollama_model(fields, served);
  const std::string text = fields.text("prompt").value_or("");
  const std::string system = fields.text("system").value_or("");
  const bool raw = fields.boolean("raw").value_or(false);
  Request request = read_options(fields, served, http);
  const Common common = read_common(fields, served);
  fields.only("suffix", "", "text can only be continued");
  fields.only("template", "", "the model's own is used");
  fields.only("images", Json::array(), "this model reads none");
  fields.done();
  Prompt prompt;
  if (raw) {
    prompt = make_raw_prompt(*served.tokenizer, text);
  } else {
    Json messages = Json::array();
    if (!system.empty()) messages.push_back(Json{{"role", "system"}, {"content", system}});
    messages.push_back(Json{{"role", "user"}, {"content", text}});
    prompt = chat_prompt(served, messages, common.options);
  }
  return asked_for(served, common.shape, std::move(request), std::move(prompt),
                   std::make_unique<OllamaWriter>(http.path, model, false, common.stream));
}

HttpResponse ollama_tags(const Served& served) {
  Json models = Json::array();
  std::vector<std::string> names = {served.name};
  names.insert(names.end(), served.aliases.begin(), served.aliases.end());
  for (const std::string& name : names) {
    Json model = Json::object();
    model["name"] = name;
    model["model"] = name;
    model["modified_at"] = timestamp(served.created);
    model["size"] = 0;
    model["digest"] = "";
    model["details"] =
        Json{{"format", "gguf"}, {"family", served.chat->spec == nullptr ? "" : served.chat->spec->family}};
    models.push_back(std::move(model));
  }
  return {.body = to_text(Json{{"models", std::move(models)}})};
}

HttpResponse ollama_show(const Served& served, const Json& body) {
  Fields fields(body);
  if (!fields.has("model") && fields.has("name")) {
    check_model(served, fields.text("name").value_or(""));
  } else {
    read_ollama_model(fields, served);
  }
  fields.ignore({"name", "verbose"});
  fields.done();
  const std::string family(served.chat->spec == nullptr ? "" : served.chat->spec->family);
  Json answer = Json::object();
  answer["modified_at"] = timestamp(served.created);
  answer["details"] = Json{{"format", "gguf"}, {"family", family}};
  answer["model_info"] = Json{{"general.architecture", family}, {family + ".context_length", served.context}};
  answer["capabilities"] = Json::array({"completion"});
  if (served.embedding.pooling != Pooling::none) answer["capabilities"].push_back("embedding");
  const ChatSpec* spec = served.chat->spec;
  if (spec != nullptr && spec->tool_calls != ToolCallForm::none) answer["capabilities"].push_back("tools");
  if (spec != nullptr && !spec->thinking_variable.empty()) answer["capabilities"].push_back("thinking");
  return {.body = to_text(answer)};
}

}  // namespace autoglm
