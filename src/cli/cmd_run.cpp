// run: one answer, streamed.
#include <fmt/format.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <span>

#include "base/output_file.h"
#include "base/trace_events.h"
#include "cli/bounds.h"
#include "cli/chat.h"
#include "cli/commands.h"
#include "cli/generate.h"
#include "cli/tuned_settings.h"
#include "hw/resident.h"
#include "tune/counters.h"

namespace autoglm {
namespace {

constexpr size_t kTraceSpans = size_t{1} << 20;  // about five seconds of a small model, a minute of a large one

std::string prompt_text(Context& context) {
  std::string text = context.argument("PROMPT");
  const bool given = context.has_argument("PROMPT");
  const bool raw = context.settings().boolean("run.raw");
  if (!given) {
    text = read_stdin();
    // The line break that echo and here-documents add is nobody's question. Raw text is taken to the byte.
    if (!raw && text.ends_with('\n')) text.pop_back();
    if (!raw && text.ends_with('\r')) text.pop_back();
  }
  if (text.empty()) {
    fail(Code::bad_flag, "the prompt is empty",
         "give it as an argument, as in: autoglm run MODEL \"Why is the sky blue?\", or on standard input");
  }
  check_utf8(text, "the prompt");
  return text;
}

Prompt make_prompt_from(Context& context, const OpenedModel& opened, const std::string& text) {
  const Settings& settings = context.settings();
  if (settings.boolean("run.raw")) return make_raw_prompt(*opened.tokenizer, text);
  Conversation conversation(*opened.tokenizer, opened.chat);
  if (const auto system = settings.text_if("chat.system")) {
    check_utf8(*system, "the system message");
    conversation.set_system(*system);
  }
  if (const auto think = settings.text_if("chat.think"); think && *think != "auto") {
    conversation.set_thinking(*think == "on");
  }
  conversation.add_user(text);
  return conversation.prompt();
}

nlohmann::json zones_ms(const ZoneTotals& totals) {
  nlohmann::json object = nlohmann::json::object();
  for (size_t i = 0; i < kZones; ++i) {
    if (totals.seconds.at(i) > 0) object[std::string(name(static_cast<Zone>(i)))] = 1e3 * totals.seconds.at(i);
  }
  return object;
}

nlohmann::json report(const Answer& answer, const OpenedModel& opened, const SamplingParams& sampling,
                      const ZoneTotals& zones) {
  nlohmann::json object = {
      {"text", answer.text},
      {"token_ids", answer.tokens},
      {"prompt_tokens", answer.usage.prompt_tokens},
      {"cached_tokens", answer.usage.cached_tokens},
      {"completion_tokens", answer.usage.completion_tokens},
      {"finish_reason", name(answer.finish)},
      {"seed", answer.usage.seed},
      {"speculation",
       {{"drafted_tokens", answer.usage.drafted_tokens}, {"accepted_tokens", answer.usage.accepted_tokens}}},
      {"sampling",
       {{"temperature", sampling.temperature},
        {"top_k", sampling.top_k},
        {"top_p", sampling.top_p},
        {"min_p", sampling.min_p}}},
      {"timings",
       {{"load_ms", opened.load_ms},
        {"prefill_ms", answer.usage.prefill_ms},
        {"first_token_ms", answer.first_token_ms},
        {"decode_ms", answer.usage.decode_ms},
        {"prefill_tps", answer.prefill_tps()},
        {"decode_tps", answer.decode_tps()},
        {"zones_ms", zones_ms(zones)}}},
      {"memory", {{"planned_bytes", opened.model->memory().total_bytes}, {"peak_rss_bytes", resident_memory().peak}}},
  };
  if (!answer.reasoning.empty()) object["reasoning"] = answer.reasoning;
  return object;
}

void write_trace(const std::string& path, const ZoneClock& zones) {
  constexpr double kAll = 1e9;  // seconds: as far back as is kept
  const TraceTrack track = track_of(zones, kAll);
  OutputFile file(path);
  const std::string json = trace_events_json({&track, 1});
  file.write(std::as_bytes(std::span(json)));
  file.finish();
}

Answer ask(Context& context, OpenedModel& opened, Request request, bool stream) {
  Engine engine(*opened.model, *opened.tokenizer, opened.chat, engine_options(context, opened));
  const auto interrupted = [&context] { return context.interrupt().requested(); };
  if (!stream) return generate(engine, std::move(request), interrupted, nullptr, nullptr);
  return generate(
      engine, std::move(request), interrupted, [&context](std::string_view piece) { context.print(piece); },
      [&context](std::string_view piece) {
        if (!context.quiet()) ::fwrite(piece.data(), 1, piece.size(), stderr);
      });
}

int run(Context& context) {
  const bool terminal = ::isatty(STDIN_FILENO) == 1;
  if (terminal && !context.has_argument("PROMPT") && !context.json()) return chat_at_terminal(context);
  const std::string text = prompt_text(context);
  apply_tuned(context);
  const auto trace = context.settings().text_if("run.trace");
  if (trace) check_output(*trace);  // not after the answer
  const std::unique_ptr<OpenedModel> opened = open_and_load(context, load_options(context), true);
  ZoneClock zones("run", trace ? kTraceSpans : 0);
  const ZoneClockScope scope(zones);
  const Prompt prompt = make_prompt_from(context, *opened, text);
  Request request = request_from_settings(context.settings(), *opened->source, opened->model->spec().vocabulary);
  const SamplingParams sampling = request.sampling;
  request.prompt = prompt.tokens;
  request.reasoning = prompt.reasoning;
  request.continues = prompt.continues;
  request.ignore_eos = context.settings().boolean("run.ignore_eos");

  const bool stream = !context.json();
  const Counters before = read_counters(context.machine().allowed);
  const Answer answer = ask(context, *opened, std::move(request), stream);
  const Interval work = between(before, read_counters(context.machine().allowed));
  const ZoneTotals totals = zones.totals();
  if (trace) write_trace(*trace, zones);
  if (stream && !answer.text.empty() && !answer.text.ends_with('\n')) context.print("\n");
  context.interrupt().check();
  if (context.json()) {
    context.print_json(report(answer, *opened, sampling, totals));
    return 0;
  }
  if (context.quiet()) return 0;
  const std::string bound = what_bounds(answer, *opened, work);
  context.note(bound.empty()
                   ? fmt::format("{} tokens, first token after {:.0f} ms", answer.tokens.size(), answer.first_token_ms)
                   : bound);
  if (answer.finish == FinishReason::length) {
    context.note(
        fmt::format("the answer was cut at {} tokens; --max-tokens or --ctx allow more", answer.tokens.size()));
  }
  return 0;
}

}  // namespace

const Command kRun = {
    .name = "run",
    .summary = {"ask a model one question", "向模型提一个问题"},
    .positionals = {{.name = "MODEL", .required = true, .help = {"the model", "模型"}},
                    {.name = "PROMPT",
                     .required = false,
                     .help = {"the question; without it standard input is read, and at a terminal a chat begins",
                              "问题；不给出时读取标准输入，在终端上则开始对话"}}},
    .details = {"The answer goes to stdout as it comes; everything else goes to stderr.",
                "回答会实时写到标准输出，其他信息写到标准错误。"},
    .examples = {{"autoglm run smollm2:135m \"Why is the sky blue?\"", {"one question", "提一个问题"}},
                 {"autoglm run model.gguf --temp 0 -n 50 < question.txt", {"from a file", "从文件读取问题"}}},
    .json_keys =
        "text, token_ids, prompt_tokens, completion_tokens, finish_reason, timings{load_ms, prefill_ms, "
        "first_token_ms, decode_ms, prefill_tps, decode_tps, zones_ms{ZONE}}, memory{planned_bytes, peak_rss_bytes}",
    .run = run,
};

}  // namespace autoglm
