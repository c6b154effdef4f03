// An answer from anywhere, in each family's form: text and calls, the same in any pieces; the arguments are JSON.
#include <string>
#include <string_view>

#include "base/error.h"
#include "text/tool_calls.h"

namespace {

std::string split(autoglm::ToolCallForm form, const autoglm::ToolSet& tools, std::string_view answer, size_t piece) {
  autoglm::ToolCallSplitter splitter(form, tools);
  std::string all;
  const auto take = [&all](const std::vector<autoglm::ToolCallSplitter::Part>& parts) {
    for (const auto& part : parts) {
      all += part.text;
      if (!part.is_call()) continue;
      AUTOGLM_CHECK(autoglm::Json::accept(part.call.arguments), "arguments are JSON");
      all += "[" + part.call.name + part.call.arguments + "]";
    }
  };
  for (size_t at = 0; at < answer.size(); at += piece) take(splitter.push(answer.substr(at, piece)));
  take(splitter.finish());
  return all;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using autoglm::ToolCallForm;
  if (size == 0) return 0;
  const autoglm::ToolSet tools(autoglm::Json::parse(
      R"([{"name": "f", "parameters": {"type": "object", "properties": {"s": {"type": "string"}, "n": {"type": "integer"}}}}, {"name": "g"}])"));
  const std::string_view answer(reinterpret_cast<const char*>(data) + 1, size - 1);
  for (const ToolCallForm form : {ToolCallForm::hermes_json, ToolCallForm::glm_xml, ToolCallForm::glm_line_json,
                                  ToolCallForm::chatglm3_python, ToolCallForm::llama3_json, ToolCallForm::none}) {
    const std::string whole = split(form, tools, answer, answer.size() + 1);
    AUTOGLM_CHECK(split(form, tools, answer, 1 + data[0] % 16) == whole, "pieces do not matter");
  }
  return 0;
}
