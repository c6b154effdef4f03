// JSONL of texts to evaluate with and of tasks; and the search for passages that two texts share.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "compress/quality_tasks.h"
#include "compress/quality_texts.h"
#include "text/utf8.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace autoglm;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    for (const EvaluationText& one : read_text_lines(text, "fuzz", "text")) {
      AUTOGLM_CHECK(utf8::valid(one.text) && !one.kind.empty(), "texts are UTF-8 and of a kind");
    }
  } catch (const Error&) {
  }
  try {
    for (const QualityTask& task : read_tasks(text, "fuzz")) {
      AUTOGLM_CHECK(task.choices.empty() != task.expected.empty(), "a task has one form");
      AUTOGLM_CHECK(task.choices.empty() || static_cast<size_t>(task.answer) < task.choices.size(), "the answer");
    }
  } catch (const Error&) {
  }
  const double share = TextFingerprint(text.substr(size / 3)).overlap(text);
  AUTOGLM_CHECK(share >= 0 && share <= 1, "a share");
  return 0;
}
