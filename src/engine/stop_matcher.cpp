#include "engine/stop_matcher.h"

#include <algorithm>
#include <utility>

namespace autoglm {
namespace {

// Length of the longest suffix of `text` that is a proper prefix of `mark`.
size_t partial(std::string_view text, std::string_view mark) {
  for (size_t length = std::min(text.size(), mark.size() - 1); length > 0; --length) {
    if (text.substr(text.size() - length) == mark.substr(0, length)) return length;
  }
  return 0;
}

constexpr std::string_view kSpaces = " \t\r\n";

}  // namespace

StopMatcher::StopMatcher(std::vector<std::string> stops) : stops_(std::move(stops)) {
  std::erase(stops_, std::string());
}

std::string StopMatcher::push(std::string_view text) {
  if (stopped_) return {};
  held_ += text;
  size_t found = std::string::npos;
  size_t hold = 0;
  for (const std::string& stop : stops_) {
    if (const size_t at = held_.find(stop); at < found) {
      found = at;
      matched_ = stop;
    }
    hold = std::max(hold, partial(held_, stop));
  }
  stopped_ = found != std::string::npos;
  const size_t out = stopped_ ? found : held_.size() - hold;
  std::string result = held_.substr(0, out);
  held_.erase(0, stopped_ ? held_.size() : out);
  return result;
}

std::string StopMatcher::finish() { return std::exchange(held_, {}); }

ReasoningSplitter::ReasoningSplitter(std::string_view open, std::string_view close, ReasoningStart start)
    : open_(open), close_(close), state_(State::before) {
  if (open_.empty() || close_.empty() || start == ReasoningStart::none) {
    state_ = State::answer;
  } else if (start == ReasoningStart::open) {
    state_ = State::inside;
    skip_breaks_ = true;
  }
}

std::vector<ReasoningSplitter::Part> ReasoningSplitter::push(std::string_view text) {
  std::vector<Part> parts;
  held_ += text;
  consume(parts);
  return parts;
}

std::vector<ReasoningSplitter::Part> ReasoningSplitter::go_on(std::string_view text) {
  std::vector<Part> parts = push(text);
  known_ = held_.size();
  return parts;
}

void ReasoningSplitter::drop(size_t bytes) {
  held_.erase(0, bytes);
  known_ -= std::min(known_, bytes);
}

void ReasoningSplitter::consume(std::vector<Part>& parts) {
  const auto give = [&](Event::Kind kind, size_t bytes) {
    if (bytes > known_) parts.push_back({kind, held_.substr(known_, bytes - known_)});
    drop(bytes);
  };
  if (state_ == State::before) {
    const size_t begin = std::min(held_.find_first_not_of(kSpaces), held_.size());
    const std::string_view rest = std::string_view(held_).substr(begin);
    if (rest.starts_with(open_)) {
      drop(begin + open_.size());
      state_ = State::inside;
      skip_breaks_ = true;
    } else if (std::string_view(open_).starts_with(rest)) {
      return;  // may still become the mark
    } else {
      state_ = State::answer;
    }
  }
  if (state_ == State::inside) {
    if (skip_breaks_) drop(std::min(held_.find_first_not_of("\r\n"), held_.size()));
    skip_breaks_ = skip_breaks_ && held_.empty();
    const size_t end = held_.find(close_);
    if (end == std::string::npos) {
      give(Event::Kind::reasoning, held_.size() - partial(held_, close_));
      return;
    }
    give(Event::Kind::reasoning, end);
    drop(close_.size());
    state_ = State::after_close;
  }
  if (state_ == State::after_close) {
    drop(std::min(held_.find_first_not_of("\r\n"), held_.size()));
    if (held_.empty()) return;
    state_ = State::answer;
  }
  give(Event::Kind::text, held_.size());
}

std::vector<ReasoningSplitter::Part> ReasoningSplitter::finish() {
  std::vector<Part> parts;
  if (held_.size() > known_) {
    parts.push_back({state_ == State::inside ? Event::Kind::reasoning : Event::Kind::text, held_.substr(known_)});
  }
  drop(held_.size());
  return parts;
}

}  // namespace autoglm
