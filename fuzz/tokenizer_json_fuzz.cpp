// tokenizer.json: loading must end in a tokenizer or in Error, and a tokenizer must stand any text.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "exercise_tokenizer.h"
#include "text/tokenizer_files.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view json(reinterpret_cast<const char*>(data), size);
  try {
    const auto tokenizer = autoglm::tokenizer_from_json(json);
    autoglm::exercise(*tokenizer, json);
  } catch (const autoglm::Error&) {
  }
  return 0;
}
