#include "compress/own_text.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "base/error.h"
#include "engine/sampler.h"

namespace autoglm {
namespace {

constexpr std::string_view kOpenings[] = {
    "The history of",
    "Question: Why do",
    "def main():\n",
    "今天",
    "In this article, we",
    "Once upon a time",
    "1.",
    "问题：为什么",
    "The most important thing about",
    "#include <",
    "Dear",
    "中国的",
    "According to a new study,",
    "User: How can I",
    "import numpy as np\n",
    "首先，",
    "Let x be",
    "The city of",
    "Ingredients:\n",
    "如何",
    "\"I don't know,\" she said",
    "function",
    "In 19",
    "关于",
    "Abstract\n",
    "To install the package,",
    "| Name |",
    "一个",
    "Scientists have",
    "{\"",
    "Chapter 1\n",
    "The company",
};

/// Sequences that are written together.
class Writer {
 public:
  Writer(Model& model, const Tokenizer& tokenizer, const OwnTextOptions& options)
      : model_(model), tokenizer_(tokenizer), options_(options), sampler_(model.spec().vocabulary) {
    const int64_t vocabulary = model.spec().vocabulary;
    allowed_.assign(static_cast<size_t>((vocabulary + 63) / 64), 0);
    for (int32_t id = 0; id < std::min<int64_t>(vocabulary, tokenizer.size()); ++id) {
      if (tokenizer.kind(id) == TokenKind::normal || tokenizer.kind(id) == TokenKind::byte) {
        allowed_[static_cast<size_t>(id) / 64] |= uint64_t{1} << (id % 64);
      }
    }
    const bool any = std::ranges::any_of(allowed_, [](uint64_t word) { return word != 0; });
    if (!any) fail(Code::bad_model_file, "the tokenizer has no token that is text", "give texts of your own");
  }

  void write(int64_t first, int64_t count, std::vector<std::vector<int32_t>>& out) {
    const std::unique_ptr<KvCache> kv = model_.make_kv_cache();
    std::vector<SequenceId> ids;
    std::vector<SamplerState> states;
    for (int64_t i = first; i < first + count; ++i) {
      SamplingParams params;
      params.temperature = 1;
      params.top_p = 1;
      params.seed = options_.seed * 1'000'003 + static_cast<uint64_t>(i) + 1;
      states.emplace_back(params, std::span<const int32_t>{}, model_.spec().vocabulary);
      ids.push_back(kv->create());
      out.push_back(opening(i));
    }
    const std::span written = std::span(out).last(static_cast<size_t>(count));
    for (size_t i = 0; i < ids.size(); ++i) begin(*kv, ids[i], states[i], written[i]);
    while (std::ranges::any_of(written, [&](const auto& tokens) { return std::ssize(tokens) < options_.window; })) {
      step(*kv, ids, states, written);
    }
  }

 private:
  std::vector<int32_t> opening(int64_t number) const {
    EncodeOptions encode;
    encode.add_special = true;
    const size_t index = static_cast<size_t>(number) % std::size(kOpenings);
    std::vector<int32_t> tokens = tokenizer_.encode(kOpenings[index], encode);
    const auto most = static_cast<size_t>(std::max<int64_t>(1, options_.window / 2));
    if (tokens.size() > most) tokens.resize(most);
    if (tokens.empty()) tokens.push_back(first_allowed());
    return tokens;
  }

  int32_t first_allowed() const {
    for (int32_t id = 0;; ++id) {
      if (allowed_[static_cast<size_t>(id) / 64] >> (id % 64) & 1) return id;
    }
  }

  void begin(KvCache& kv, SequenceId id, SamplerState& state, std::vector<int32_t>& tokens) {
    const BatchSequence part{.sequence = id, .row_begin = 0, .rows = std::ssize(tokens), .adapter = 0};
    const int32_t last = static_cast<int32_t>(tokens.size()) - 1;
    const std::vector<int32_t> rows = tokens;
    AUTOGLM_CHECK(kv.append(id, part.rows), "own_text_load_options() saw to it");
    const auto logits = model_.forward(
        {.tokens = rows, .embeddings = {}, .positions = {}, .sequences = {&part, 1}, .logit_rows = {&last, 1}}, kv);
    accept(logits, state, tokens);
  }

  // The next token of every sequence that is not whole.
  void step(KvCache& kv, const std::vector<SequenceId>& ids, std::vector<SamplerState>& states,
            std::span<std::vector<int32_t>> written) {
    std::vector<int32_t> tokens;
    std::vector<BatchSequence> parts;
    std::vector<size_t> which;
    for (size_t i = 0; i < ids.size(); ++i) {
      if (std::ssize(written[i]) == options_.window) continue;
      AUTOGLM_CHECK(kv.append(ids[i], 1), "own_text_load_options() saw to it");
      parts.push_back({.sequence = ids[i], .row_begin = std::ssize(tokens), .rows = 1, .adapter = 0});
      tokens.push_back(written[i].back());
      which.push_back(i);
    }
    std::vector<int32_t> rows(tokens.size());
    std::iota(rows.begin(), rows.end(), 0);
    const auto logits = model_.forward(
        {.tokens = tokens, .embeddings = {}, .positions = {}, .sequences = parts, .logit_rows = rows}, kv);
    const auto width = static_cast<size_t>(model_.spec().vocabulary);
    for (size_t i = 0; i < which.size(); ++i) {
      accept(logits.subspan(i * width, width), states[which[i]], written[which[i]]);
    }
  }

  void accept(std::span<const float> logits, SamplerState& state, std::vector<int32_t>& tokens) {
    const int32_t next = sampler_.sample(logits, state, ignored_, allowed_);
    if (next < 0) {
      fail(Code::numeric, "the model computed a logit that is not a finite number",
           "the weights may be damaged: check the file's hash");
    }
    state.accept(next);
    tokens.push_back(next);
    ++done_;
    if (options_.progress && done_ % 256 == 0) options_.progress(done_, options_.windows * options_.window);
  }

  Model& model_;
  const Tokenizer& tokenizer_;
  const OwnTextOptions& options_;
  Sampler sampler_;
  std::vector<uint64_t> allowed_;
  std::vector<TokenLogprob> ignored_;
  int64_t done_ = 0;
};

}  // namespace

std::span<const std::string_view> own_text_openings() { return kOpenings; }

LoadOptions own_text_load_options(LoadOptions options, int64_t window) {
  options.context = window;
  options.batch_sequences = kOwnTextTogether;
  options.kv_max_bytes = 0;
  options.kv_shared = false;
  options.batch_rows = std::max<int64_t>(64, kOwnTextTogether);
  options.logit_rows = kOwnTextTogether;
  return options;
}

std::vector<std::vector<int32_t>> own_text(Model& model, const Tokenizer& tokenizer, const OwnTextOptions& options) {
  AUTOGLM_CHECK(options.window >= 2 && options.windows >= 1, "bad options of a model's own text");
  std::vector<std::vector<int32_t>> out;
  out.reserve(static_cast<size_t>(options.windows));
  Writer writer(model, tokenizer, options);
  for (int64_t first = 0; first < options.windows; first += kOwnTextTogether) {
    writer.write(first, std::min(kOwnTextTogether, options.windows - first), out);
  }
  return out;
}

}  // namespace autoglm
