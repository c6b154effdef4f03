#include "cli/generate.h"

#include <fmt/format.h>

#include <charconv>
#include <limits>

namespace autoglm {
namespace {

void add_bias(const std::string& text, int64_t vocabulary, std::map<int32_t, float>& bias) {
  const size_t equals = text.find('=');
  const char* begin = text.data();
  const char* end = begin + text.size();
  int32_t token = -1;
  float value = 0;
  const char* middle = equals == std::string::npos ? end : begin + equals;
  const auto id = std::from_chars(begin, middle, token);
  const auto number = equals == std::string::npos ? std::from_chars_result{end, std::errc::invalid_argument}
                                                  : std::from_chars(middle + 1, end, value);
  if (id.ec != std::errc{} || id.ptr != middle || number.ec != std::errc{} || number.ptr != end) {
    fail(Code::bad_flag, fmt::format("--logit-bias {} is not ID=VALUE", text), "for example --logit-bias 42=-5");
  }
  if (token < 0 || token >= vocabulary) {
    fail(Code::bad_flag, fmt::format("--logit-bias names token {}, outside the vocabulary", token),
         fmt::format("token ids go from 0 to {}", vocabulary - 1));
  }
  bias[token] = value;
}

}  // namespace

Request request_from_settings(const Settings& settings, const ModelSource& source, int64_t vocabulary) {
  Request request;
  SamplingParams& params = request.sampling;
  params = sampling_defaults(source).params;
  const auto real = [&settings](std::string_view key, float& value) {
    if (const auto given = settings.real_if(key)) value = static_cast<float>(*given);
  };
  real("sampling.temperature", params.temperature);
  real("sampling.top_p", params.top_p);
  real("sampling.min_p", params.min_p);
  real("sampling.repetition_penalty", params.repetition_penalty);
  real("sampling.presence_penalty", params.presence_penalty);
  real("sampling.frequency_penalty", params.frequency_penalty);
  if (const auto k = settings.integer_if("sampling.top_k")) params.top_k = static_cast<int>(*k);
  if (const auto seed = settings.integer_if("sampling.seed")) params.seed = static_cast<uint64_t>(*seed);
  for (const std::string& text : settings.list("sampling.logit_bias")) add_bias(text, vocabulary, params.logit_bias);
  request.max_tokens = settings.integer_if("sampling.max_tokens").value_or(-1);
  request.stop = settings.list("sampling.stop");
  return request;
}

EngineOptions engine_options(const Context& context, const OpenedModel& opened) {
  EngineOptions options = single_options(context.settings());
  keep_prefixes(opened, options);
  return options;
}

double Answer::decode_tps() const {
  return tokens.size() < 2 || usage.decode_ms <= 0 ? 0.0
                                                   : static_cast<double>(tokens.size() - 1) * 1e3 / usage.decode_ms;
}

double Answer::prefill_tps() const {
  const int64_t computed = usage.prompt_tokens - usage.cached_tokens;
  return usage.prefill_ms <= 0 ? 0.0 : static_cast<double>(computed) * 1e3 / usage.prefill_ms;
}

Answer generate(Engine& engine, Request request, const std::function<bool()>& interrupted,
                const std::function<void(std::string_view)>& print,
                const std::function<void(std::string_view)>& think) {
  Answer answer;
  std::optional<Error> error;
  std::exception_ptr output_failed;  // the engine must not be unwound from inside: kept until it has ended the request
  const auto show = [&output_failed](const std::function<void(std::string_view)>& to, const std::string& text) {
    if (!to || output_failed) return;
    try {
      to(text);
    } catch (...) {
      output_failed = std::current_exception();
    }
  };
  const RequestId id = engine.submit(std::move(request), [&](const Event& event) {
    if (answer.tokens.empty() && !event.tokens.empty()) answer.first_token_ms = since_process_start_ms();
    answer.tokens.insert(answer.tokens.end(), event.tokens.begin(), event.tokens.end());
    switch (event.kind) {
      case Event::Kind::text:
        answer.text += event.text;
        show(print, event.text);
        return;
      case Event::Kind::reasoning:
        answer.reasoning += event.text;
        show(think, event.text);
        return;
      case Event::Kind::tool_call:  // none of these is asked for
      case Event::Kind::prompt:
      case Event::Kind::embedding:
        return;
      case Event::Kind::finish:
        answer.finish = event.finish;
        answer.usage = event.usage;
        error = event.error;
        return;
    }
  });
  while (engine.has_work()) {
    if (interrupted() || output_failed) engine.cancel(id);
    engine.step();
  }
  if (output_failed) std::rethrow_exception(output_failed);
  if (error) throw Error(*error);
  return answer;
}

}  // namespace autoglm
