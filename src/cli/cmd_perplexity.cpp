// perplexity: how surprised a model is by a text, by llama.cpp's convention, so that the numbers can be compared.
//
// The text is cut into windows of --ctx tokens; an incomplete one is dropped. Each window is read from an empty cache,
// with BOS in place of its first token if the model adds one. Positions window/2 .. window-2 are scored on the token
// that follows them (255 of 512): every score has at least half a window before it.
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/open.h"
#include "cli/score.h"

namespace autoglm {
namespace {

double negative_log_likelihood(std::span<const float> logits, int32_t target) {
  float best = logits[0];
  for (const float logit : logits) best = std::max(best, logit);
  double mass = 0;
  for (const float logit : logits) mass += std::exp(static_cast<double>(logit) - best);
  const double loss = std::log(mass) - (static_cast<double>(logits[static_cast<size_t>(target)]) - best);
  if (!std::isfinite(loss)) {
    fail(Code::numeric, "the model computed a logit that is not a finite number",
         "the weights may be damaged: check the file's hash, or try --precision f32");
  }
  return loss;
}

struct Sum {
  double total = 0;
  double squares = 0;
  int64_t count = 0;
  double mean() const { return total / static_cast<double>(count); }
  /// Standard error of the perplexity: that of the mean loss, times the perplexity.
  double stderr_of_ppl() const {
    if (count < 2) return 0;
    const double variance = squares / static_cast<double>(count) - mean() * mean();
    return variance <= 0 ? 0 : std::sqrt(variance / static_cast<double>(count - 1)) * std::exp(mean());
  }
};

int run(Context& context) {
  const int64_t window = context.settings().integer("perplexity.window");
  std::string text = read_text(context.argument("FILE"));
  if (text.ends_with('\n')) text.pop_back();
  check_utf8(text, context.argument("FILE"));
  const int64_t first = window / 2;
  LoadOptions options = scoring_options(load_options(context), window, window - first);
  options.context = 0;
  const std::unique_ptr<OpenedModel> opened = open_and_load(context, options, true, window);
  const Tokenizer& tokenizer = *opened->tokenizer;
  EncodeOptions encode;
  encode.add_special = true;
  const std::vector<int32_t> tokens = tokenizer.encode(text, encode);
  const auto windows = static_cast<int64_t>(tokens.size()) / window;
  if (windows == 0) {
    fail(Code::bad_file,
         fmt::format("{} has {} tokens, less than a window of {}", context.argument("FILE"), tokens.size(), window),
         "give a longer text or a smaller --ctx");
  }
  check_tokens(tokens, opened->model->spec().vocabulary);
  Sum sum;
  Progress progress = context.progress("windows", windows, false);
  for (int64_t w = 0; w < windows; ++w) {
    std::vector<int32_t> part(tokens.begin() + w * window, tokens.begin() + (w + 1) * window);
    if (tokenizer.adds_bos() && tokenizer.bos()) part[0] = *tokenizer.bos();
    const auto step = [&](int64_t) { context.interrupt().check(); };
    score(*opened->model, part, first, step, [&](int64_t position, std::span<const float> logits) {
      if (position + 1 == window) return;
      const double loss = negative_log_likelihood(logits, part[static_cast<size_t>(position) + 1]);
      sum.total += loss;
      sum.squares += loss * loss;
      ++sum.count;
    });
    progress.update(w + 1);
  }
  const double ppl = std::exp(sum.mean());
  if (context.json()) {
    context.print_json(
        {{"ppl", ppl}, {"ppl_stderr", sum.stderr_of_ppl()}, {"tokens", sum.count}, {"windows", windows}});
  } else {
    context.print(fmt::format("perplexity {:.4f} +- {:.4f} ({} tokens scored in {} windows of {})\n", ppl,
                              sum.stderr_of_ppl(), sum.count, windows, window));
  }
  return 0;
}

}  // namespace

const Command kPerplexity = {
    .name = "perplexity",
    .summary = {"perplexity of a text", "计算文本的困惑度"},
    .positionals = {{.name = "MODEL", .required = true, .help = {"the model", "模型"}},
                    {.name = "FILE", .required = true, .help = {"a text file", "文本文件"}}},
    .details = {"Windows of --ctx tokens, the second half of each scored, as llama.cpp does it.",
                "按 --ctx 个 token 分窗，对每窗后半部分计分，与 llama.cpp 的做法相同。"},
    .examples = {{"autoglm perplexity model.gguf wiki.txt", {"the usual measure", "常用度量"}}},
    .json_keys = "ppl, ppl_stderr, tokens",
    .run = run,
};

}  // namespace autoglm
