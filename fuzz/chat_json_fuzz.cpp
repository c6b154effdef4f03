// Messages and tools from anywhere: an Error, or something that a template can render.
#include <string_view>

#include "base/error.h"
#include "text/chat_messages.h"
#include "text/chat_spec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  static const auto parsed =
      autoglm::ChatTemplate::parse(autoglm::chat_spec("qwen3").default_template, {.steps = 100'000});
  try {
    autoglm::TemplateInput input;
    input.messages = autoglm::parse_messages(text);
    const autoglm::Rendered rendered = parsed->render(input);
    AUTOGLM_CHECK(rendered.text.size() == rendered.origin.size(), "the mask has one entry a byte");
  } catch (const autoglm::Error&) {
  }
  try {
    autoglm::TemplateInput input;
    input.tools = autoglm::parse_tools(text);
    parsed->render(input);
  } catch (const autoglm::Error&) {
  }
  return 0;
}
