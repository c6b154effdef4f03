// Workloads that users give as JSONL.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "tune/workload.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace autoglm;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const auto lines = read_workload_lines(text, "fuzz");
    AUTOGLM_CHECK(!lines.empty() && lines.size() <= size, "requests are lines");
    for (const WorkloadLine& line : lines) {
      AUTOGLM_CHECK(line.prompt.empty() != line.messages.empty(), "one of both");
      AUTOGLM_CHECK(line.max_tokens >= 1 && line.max_tokens <= kMostWorkloadTokens, "an answer's length");
    }
    const auto tokenizer = word_tokenizer(1000);
    WorkloadTokens tokens{.encode = [&](std::string_view t) { return tokenizer->encode(t); }};
    tokens.render = [&](const std::string& messages) { return tokenizer->encode(messages); };
    const Workload workload = make_workload(lines, "fuzz", {.context = 4096}, tokens);
    AUTOGLM_CHECK(workload.longest() <= 4096, "requests fit");
  } catch (const Error&) {
  }
  return 0;
}
