#include "engine/live.h"

#include <algorithm>
#include <utility>

namespace autoglm {

void Engine::Live::go_on() {
  for (const ReasoningSplitter::Part& part : reasoning.go_on(request.said)) {
    if (calls && part.kind == Event::Kind::text) calls->go_on(part.text);
  }
  if (matcher && !matcher->accept(request.said)) {
    fail(Code::bad_request, "what the last message says is no beginning of an answer in the form that is asked for");
  }
}

std::vector<Event> Engine::Live::tell(std::string_view text, bool at_end) {
  std::vector<ReasoningSplitter::Part> parts = reasoning.push(text);
  if (at_end) std::ranges::move(reasoning.finish(), std::back_inserter(parts));
  std::vector<Event> events;
  const auto add = [&events](Event::Kind kind, std::string said, std::string tool = {}) {
    Event& event = events.emplace_back();
    event.kind = kind;
    event.text = std::move(said);
    event.tool = std::move(tool);
  };
  const auto add_all = [&](std::vector<ToolCallSplitter::Part> found) {
    for (ToolCallSplitter::Part& part : found) {
      if (request.one_call && told_call) continue;
      told_call = told_call || part.is_call();
      if (part.is_call()) {
        add(Event::Kind::tool_call, std::move(part.call.arguments), std::move(part.call.name));
      } else {
        add(Event::Kind::text, std::move(part.text));
      }
    }
  };
  for (ReasoningSplitter::Part& part : parts) {
    if (calls && part.kind == Event::Kind::text) {
      add_all(calls->push(part.text));
    } else {
      add(part.kind, std::move(part.text));
    }
  }
  if (calls && at_end) add_all(calls->finish());
  return events;
}

void Engine::Live::predict(const Tokenizer& tokenizer) {
  predicted_count = drafted = match_length = 0;
  forced = false;
  if (!index) return;
  index->extend(tokens);
  // The last token of an answer is sampled from its last row: nothing is computed after it.
  const int64_t room = std::clamp<int64_t>(most - sampled() - 1, 0, kMostDraft);
  if (matcher && predict_forced(tokenizer, room)) return;
  const NgramIndex::Match match = index->find(tokens);
  if (match.length == 0) return;
  match_length = match.length;
  predicted_count = room;
  copy_after(tokens, match, std::span(predicted).first(static_cast<size_t>(room)));
  if (matcher) predicted_count = allowed(room);
}

// The text is certain, how it is cut into tokens is not: it is guessed to be as usual. Its last token may be written
// together with what follows.
bool Engine::Live::predict_forced(const Tokenizer& tokenizer, int64_t room) {
  constexpr size_t kForcedBytes = 64;
  const std::string text = matcher->forced(kForcedBytes);
  if (text.empty()) return false;
  std::vector<int32_t> ids = tokenizer.encode(text);
  if (!ids.empty()) ids.pop_back();
  const auto count = std::min(room, std::ssize(ids));
  std::copy_n(ids.begin(), count, predicted.begin());
  predicted_count = allowed(count);
  forced = predicted_count > 0;
  if (forced) match_length = NgramIndex::kLongest;
  return forced;
}

// How many of the first `count` predicted tokens the grammar takes.
int64_t Engine::Live::allowed(int64_t count) {
  int64_t taken = 0;
  while (taken < count && matcher->accept(predicted[static_cast<size_t>(taken)])) ++taken;
  matcher->rollback(static_cast<size_t>(taken));
  return taken;
}

}  // namespace autoglm
