#include "text/chat_continuation.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "text/jinja_builtins.h"

namespace autoglm {
namespace {

constexpr std::string_view kTag = "CONTINUE_FINAL_MESSAGE_TAG ";  // transformers' own: templates look at contents
constexpr std::string_view kBareTag = kTag.substr(0, kTag.size() - 1);
constexpr std::array kThoughts = {"reasoning_content", "thinking", "reasoning"};

[[noreturn]] void refuse(const std::string& why) {
  fail(Code::bad_request, why, "let the last message be the user's, or ask for a new turn");
}

std::string_view stripped(std::string_view text, bool left = true) {
  const auto [begin, end] = jinja::strip_range(text, nullptr, left, true);
  return text.substr(begin, end - begin);
}

std::string tag(Json& text) {
  auto bare = text.get<std::string>();
  text = bare + std::string(kTag);
  return bare;
}

// The mark goes behind the last text of the field; what the text was.
std::string tag_content(Json& content) {
  if (content.is_string()) return tag(content);
  if (content.is_array()) {
    for (auto part = content.rbegin(); part != content.rend(); ++part) {
      if (part->is_object() && part->contains("text") && part->at("text").is_string()) return tag(part->at("text"));
    }
  }
  refuse("the last message has no text to go on with");
}

// A thought has several names, and templates read any of them.
std::string tag_thought(Json& message) {
  std::string bare;
  for (const char* name : kThoughts) {
    const auto found = message.find(name);
    if (found == message.end() || !found->is_string()) continue;
    if (bare.empty()) bare = found->get<std::string>();
    if (*found == bare) tag(*found);
  }
  if (bare.empty()) refuse("the last message has no thought to go on with");
  return bare;
}

}  // namespace

Rendered render_unfinished(const ChatTemplate& chat_template, TemplateInput input, std::string_view field) {
  if (!input.messages.is_array() || input.messages.empty() || !input.messages.back().is_object()) {
    refuse("there is no message to go on with");
  }
  Json& last = input.messages.back();
  const bool thought = field != "content";
  if (!thought && !last.contains("content")) refuse("the last message has no text to go on with");
  const std::string bare = thought ? tag_thought(last) : tag_content(last["content"]);
  input.add_generation_prompt = false;
  Rendered rendered = chat_template.render(input);
  const size_t at = rendered.text.rfind(kBareTag);
  if (at == std::string::npos || rendered.text.find(stripped(bare)) == std::string::npos) {
    refuse("the chat template of this model does not show the last message as it is, so it cannot be gone on with");
  }
  const bool whole = std::string_view(rendered.text).substr(at).starts_with(kTag);
  rendered.text.resize(at);
  if (!whole) rendered.text.resize(stripped(rendered.text, false).size());  // the template trims: spaces would be lost
  rendered.origin.resize(rendered.text.size());
  return rendered;
}

Unfinished end_of(const Rendered& rendered, std::string_view open, std::string_view close) {
  const std::string_view text = rendered.text;
  size_t begin = text.size();
  while (begin > 0 && !rendered.origin[begin - 1]) --begin;
  size_t before = begin;
  while (before > 0 && rendered.origin[before - 1]) --before;
  const std::string_view own = text.substr(before, begin - before);
  Unfinished result{std::string(text.substr(begin)), {}};
  if (open.empty() || close.empty()) return result;
  const size_t opened = own.rfind(open);
  const size_t closed = own.rfind(close);
  if (opened == closed) return result;  // neither is there
  const bool inside = opened != std::string_view::npos && (closed == std::string_view::npos || opened > closed);
  result.mark = inside ? open : close;
  return result;
}

}  // namespace autoglm
