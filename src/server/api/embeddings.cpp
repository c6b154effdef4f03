// POST /v1/embeddings, and Ollama's /api/embed and /api/embeddings: a vector of each text.
#include <fmt/format.h>
#include <openssl/evp.h>

#include <bit>
#include <cstring>

#include "server/api/errors.h"
#include "server/api/ollama.h"
#include "server/api/prompts.h"
#include "server/api/sampling.h"

namespace autoglm {
namespace {

constexpr size_t kMostTexts = 2048;  // OpenAI's limit
/// Texts that count as one request where requests are counted: a text of a few words costs little beside an answer.
constexpr size_t kTextsAPlace = 16;

enum class Form : uint8_t { openai, ollama, ollama_one };

std::string base64(std::span<const float> vector) {
  static_assert(std::endian::native == std::endian::little, "clients read little-endian float32");
  std::vector<unsigned char> bytes(vector.size_bytes());
  std::memcpy(bytes.data(), vector.data(), bytes.size());
  std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');  // OpenSSL ends it with a zero
  text.resize(static_cast<size_t>(
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), bytes.data(), static_cast<int>(bytes.size()))));
  return text;
}

/// Each vector is worded when it comes: the last one does not keep the network thread.
class EmbeddingWriter final : public Writer {
 public:
  struct Options {
    Form form = Form::openai;
    std::string path{};
    std::string model{};
    int64_t dimensions = 0;
    bool base64 = false;
  };
  EmbeddingWriter(const EmbeddingSpec& spec, Options options, size_t texts)
      : spec_(&spec), options_(std::move(options)), vectors_(texts), open_(texts) {}

  std::string_view content_type() const override { return "application/json"; }
  bool streams() const override { return false; }

  void take(Happening&& happening, Piece& piece) override {
    Event& event = happening.event;
    if (event.finish == FinishReason::cancelled) event.error = Error(Code::cancelled, "the request was cancelled");
    if (event.error) {
      piece.whole = error_response(options_.path, *event.error);
      return;
    }
    if (event.kind == Event::Kind::embedding) {
      finish_embedding(*spec_, options_.dimensions, event.embedding);
      vectors_.at(static_cast<size_t>(happening.choice)) =
          to_text(options_.base64 ? Json(base64(event.embedding)) : Json(event.embedding));
    }
    if (event.kind != Event::Kind::finish) return;
    prompt_tokens_ += event.usage.prompt_tokens;
    milliseconds_ += event.usage.prefill_ms;
    if (--open_ == 0) piece.whole = HttpResponse{.body = whole()};
  }

 private:
  std::string whole() const {
    if (options_.form == Form::ollama_one) return fmt::format(R"({{"embedding":{}}})", vectors_.front());
    const bool openai = options_.form == Form::openai;
    std::string list;
    for (size_t i = 0; i < vectors_.size(); ++i) {
      if (i > 0) list += ',';
      list +=
          openai ? fmt::format(R"({{"object":"embedding","index":{},"embedding":{}}})", i, vectors_[i]) : vectors_[i];
    }
    const std::string model = to_text(Json(options_.model));
    if (openai) {
      return fmt::format(
          R"({{"object":"list","data":[{}],"model":{},"usage":{{"prompt_tokens":{},"total_tokens":{}}}}})", list, model,
          prompt_tokens_, prompt_tokens_);
    }
    return fmt::format(
        R"({{"model":{},"embeddings":[{}],"total_duration":{},"load_duration":0,"prompt_eval_count":{}}})", model, list,
        static_cast<int64_t>(1e6 * milliseconds_), prompt_tokens_);
  }

  const EmbeddingSpec* spec_;
  const Options options_;
  std::vector<std::string> vectors_;  // as JSON
  size_t open_;
  int64_t prompt_tokens_ = 0;
  double milliseconds_ = 0;
};

int64_t read_dimensions(Fields& fields, const EmbeddingSpec& spec) {
  const auto given = fields.integer("dimensions", 1, INT32_MAX);
  if (!given || *given == spec.dimensions) return spec.dimensions;
  if (!spec.may_cut) {
    fields.refuse("dimensions", fmt::format("is {}, and this model's vectors have {}", *given, spec.dimensions),
                  "its config.json does not say that they may be cut (is_matryoshka)");
  }
  const bool listed = spec.cuts.empty() || std::ranges::find(spec.cuts, *given) != spec.cuts.end();
  if (*given > spec.dimensions || !listed) {
    fields.refuse("dimensions", fmt::format("is {}, which is none of this model's", *given));
  }
  return *given;
}

void check_can_embed(const Fields& fields, const Served& served) {
  if (served.embedding.pooling != Pooling::none) return;
  fields.refuse("model", fmt::format("makes no embeddings: {}", served.embedding.why_none),
                "serve one that has sentence-transformers' files, or a GGUF with a pooling type");
}

// `truncate`: only where the client asks for it; a text is never cut silently.
std::vector<GivenText> read_input(Fields& fields, std::string_view name, const Served& served, bool truncate) {
  std::vector<GivenText> texts = read_texts(fields, name, served, kMostTexts);
  for (size_t i = 0; i < texts.size(); ++i) {
    std::vector<int32_t>& tokens = texts[i].tokens;
    if (tokens.empty()) fields.refuse(name, "has a text without a token");
    if (std::ssize(tokens) <= served.context) continue;
    if (!truncate) {
      fail(Code::context_exceeded,
           fmt::format("text {} of {} has {} tokens and the context holds {}", i, name, tokens.size(), served.context),
           "shorten it or give a larger --ctx");
    }
    tokens.resize(static_cast<size_t>(served.context));
  }
  return texts;
}

Asked asked_for(const Served& served, const HttpRequest& http, std::vector<GivenText> texts,
                EmbeddingWriter::Options options) {
  Asked asked;
  options.path = http.path;
  asked.writer = std::make_unique<EmbeddingWriter>(served.embedding, std::move(options), texts.size());
  asked.places = static_cast<int64_t>((texts.size() + kTextsAPlace - 1) / kTextsAPlace);
  Request request = served.defaults;
  request.max_tokens = 0;
  request.embed = served.embedding.pooling;
  request.client = http.client;
  for (GivenText& text : texts) {
    request.prompt = std::move(text.tokens);
    asked.requests.push_back(request);
  }
  return asked;
}

}  // namespace

Asked embeddings(const Served& served, const HttpRequest& http, const Json& body) {
  Fields fields(body);
  EmbeddingWriter::Options options;
  options.model = fields.text("model").value_or(served.name);
  check_model(served, options.model);
  check_can_embed(fields, served);
  const std::string encoding = fields.text("encoding_format").value_or("float");
  if (encoding != "float" && encoding != "base64") fields.refuse("encoding_format", "must be float or base64");
  options.base64 = encoding == "base64";
  options.dimensions = read_dimensions(fields, served.embedding);
  ignore_harmless(fields);
  std::vector<GivenText> texts = read_input(fields, "input", served, false);
  fields.done();
  return asked_for(served, http, std::move(texts), std::move(options));
}

Asked ollama_embed(const Served& served, const HttpRequest& http, const Json& body) {
  Fields fields(body);
  EmbeddingWriter::Options options{.form = Form::ollama};
  options.model = read_ollama_model(fields, served);
  check_can_embed(fields, served);
  options.dimensions = read_dimensions(fields, served.embedding);
  const bool truncate = fields.boolean("truncate").value_or(false);
  fields.ignore({"keep_alive", "options"});  // nothing in them changes a vector
  std::vector<GivenText> texts = read_input(fields, "input", served, truncate);
  fields.done();
  return asked_for(served, http, std::move(texts), std::move(options));
}

Asked ollama_embeddings(const Served& served, const HttpRequest& http, const Json& body) {
  Fields fields(body);
  EmbeddingWriter::Options options{.form = Form::ollama_one, .dimensions = served.embedding.dimensions};
  options.model = read_ollama_model(fields, served);
  check_can_embed(fields, served);
  fields.ignore({"keep_alive", "options"});
  std::vector<GivenText> texts = read_input(fields, "prompt", served, false);
  fields.done();
  if (texts.size() != 1) fields.refuse("prompt", "must be one text", "/api/embed takes several");
  return asked_for(served, http, std::move(texts), std::move(options));
}

}  // namespace autoglm
