#include "compress/calibration.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "engine/chat.h"
#include "engine/engine.h"
#include "text/chat_messages.h"
#include "text/json_lines.h"

namespace autoglm {
namespace {

constexpr int64_t kAtOnce = 16;              // texts that the model writes side by side
constexpr uint64_t kSeedStride = 1'000'003;  // more than there are texts
constexpr int64_t kRounds = 64;              // a model that ends at once must not be asked for ever

Windows spread(const Tokenizer& tokenizer, std::span<const int32_t> tokens, const std::string& name,
               const CalibrationShape& shape) {
  const int64_t all = std::ssize(tokens) / shape.length;
  if (all == 0) {
    fail(Code::bad_file, fmt::format("{} has {} tokens, less than a window of {}", name, tokens.size(), shape.length),
         "give a longer text or a smaller --ctx");
  }
  Windows out;
  const int64_t wanted = std::min(all, shape.windows);
  for (int64_t i = 0; i < wanted; ++i) {
    const auto begin = tokens.begin() + i * all / wanted * shape.length;
    std::vector<int32_t>& window = out.emplace_back(begin, begin + shape.length);
    if (tokenizer.adds_bos() && tokenizer.bos()) window[0] = *tokenizer.bos();
  }
  return out;
}

std::vector<int32_t> seed_prompt(const Tokenizer& tokenizer, const ChatModel& chat, const CalibrationSeed& seed) {
  // A model without a template of its own was trained on texts only.
  if (!seed.chat || chat.template_source != "file") return make_raw_prompt(tokenizer, seed.text).tokens;
  const Json messages = Json::array({{{"role", "user"}, {"content", seed.text}}});
  return make_prompt(tokenizer, chat, messages).tokens;
}

/// The texts of one round: `count` seeds from number `first` on, cut after shape.length tokens. In their order.
class Round {
 public:
  Round(const Tokenizer& tokenizer, const ChatModel& chat, int64_t first, int64_t count, const CalibrationShape& shape)
      : texts_(static_cast<size_t>(count)) {
    const std::span<const CalibrationSeed> seeds = calibration_seeds();
    const int64_t most = shape.length;
    for (int64_t i = 0; i < count; ++i) {
      const int64_t number = first + i;
      Request& request = requests_.emplace_back();
      request.prompt = seed_prompt(tokenizer, chat, seeds[static_cast<size_t>(number % std::ssize(seeds))]);
      if (std::ssize(request.prompt) > most / 2) request.prompt.resize(static_cast<size_t>(most / 2));
      request.sampling = {.temperature = 1.0f, .top_p = 1.0f, .logit_bias = {}};
      request.sampling.seed = (shape.seed - 1) * kSeedStride + static_cast<uint64_t>(number) + 1;
      request.max_tokens = most - std::ssize(request.prompt);
      texts_[static_cast<size_t>(i)] = request.prompt;
    }
  }

  const Windows& run(Engine& engine, const std::function<void()>& check) {
    std::optional<Error> error;
    for (size_t i = 0; i < requests_.size(); ++i) {
      engine.submit(std::move(requests_[i]), [this, i, &error](const Event& event) {
        texts_[i].insert(texts_[i].end(), event.tokens.begin(), event.tokens.end());
        if (event.error) error = event.error;
      });
    }
    while (engine.has_work()) {
      if (check) check();
      engine.step();
    }
    if (error) throw *error;
    return texts_;
  }

 private:
  std::vector<Request> requests_;
  Windows texts_;
};

}  // namespace

Windows text_windows(const Tokenizer& tokenizer, std::string_view text, const std::string& name,
                     const CalibrationShape& shape) {
  EncodeOptions encode;
  encode.add_special = true;
  return spread(tokenizer, tokenizer.encode(text, encode), name, shape);
}

Windows chat_windows(const Tokenizer& tokenizer, const ChatModel& chat, std::string_view jsonl, const std::string& name,
                     const CalibrationShape& shape) {
  std::vector<int32_t> tokens;
  for_each_json_line(jsonl, name, [&](int64_t line, const nlohmann::json& object) {
    std::vector<int32_t> more;
    if (object.contains("messages")) {
      try {
        PromptOptions options;
        options.add_generation_prompt = false;
        more = make_prompt(tokenizer, chat, parse_messages(object.dump()), options).tokens;
      } catch (const Error& error) {
        if (error.code() != Code::bad_request) throw;
        fail_line(name, line, error.what());
      }
    } else {
      more = make_raw_prompt(tokenizer, line_text(object, "text", name, line)).tokens;
    }
    tokens.insert(tokens.end(), more.begin(), more.end());
  });
  return spread(tokenizer, tokens, name, shape);
}

Windows file_windows(const Tokenizer& tokenizer, const ModelSource& source, std::string_view text,
                     const std::string& name, const CalibrationShape& shape) {
  if (!name.ends_with(".jsonl")) return text_windows(tokenizer, text, name, shape);
  return chat_windows(tokenizer, load_chat_model(source, tokenizer), text, name, shape);
}

Windows own_windows(const std::shared_ptr<const ModelSource>& source, Runtime& runtime, const Tokenizer& tokenizer,
                    const ChatModel& chat, const CalibrationShape& shape, const std::function<void()>& check,
                    const std::function<void(int64_t done, int64_t total)>& progress) {
  LoadOptions load;
  load.context = shape.length;
  load.batch_sequences = kAtOnce;
  const std::unique_ptr<Model> model = Model::load(source, runtime, load);
  EngineOptions options;
  options.max_sequences = kAtOnce;
  options.policy.prefix_cache = false;
  Engine engine(*model, tokenizer, chat, options);
  const int64_t wanted = shape.windows * shape.length;
  std::vector<int32_t> tokens;
  for (int64_t round = 0; round < kRounds && std::ssize(tokens) < wanted; ++round) {
    Round texts(tokenizer, chat, round * kAtOnce, kAtOnce, shape);
    for (const std::vector<int32_t>& text : texts.run(engine, check)) {
      tokens.insert(tokens.end(), text.begin(), text.end());
    }
    if (progress) progress(std::min(std::ssize(tokens), wanted), wanted);
  }
  return spread(tokenizer, tokens, "what the model wrote", shape);
}

}  // namespace autoglm
