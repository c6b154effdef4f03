// A chat template from anywhere: it renders or is an Error, within its limits, and the origin mask fits the text.
#include <string_view>

#include "base/error.h"
#include "text/chat_template.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using autoglm::Json;
  autoglm::TemplateLimits limits;
  limits.steps = 20'000;
  limits.output_bytes = 1 << 20;
  autoglm::TemplateInput input;
  input.messages =
      Json::parse(R"([{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi <|user|> 你好"},
      {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1.5, "b": [true]}}}]}])");
  input.tools = Json::parse(R"([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}])");
  input.variables =
      Json::parse(R"({"s": "Hello World", "l": [3, 1, 2], "d": {"b": 1, "a": [2]}, "n": 42, "f": 2.5, "t": true})");
  input.bos_token = "<s>";
  input.eos_token = "</s>";
  input.now = std::chrono::system_clock::time_point(std::chrono::seconds(1'770'000'000));
  try {
    const auto parsed =
        autoglm::ChatTemplate::parse(std::string_view(reinterpret_cast<const char*>(data), size), limits);
    const autoglm::Rendered rendered = parsed->render(input);
    AUTOGLM_CHECK(rendered.text.size() == rendered.origin.size(), "the mask has one entry a byte");
  } catch (const autoglm::Error&) {
  }
  return 0;
}
