// A file of remembered kernel tunings from anywhere: values within their limits, or an Error.
#include <string_view>

#include "base/error.h"
#include "tune/tuning_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace autoglm;
  const TuningKey key{.cpu = "cpu", .isa = "isa", .threads = 1, .version = "1"};
  try {
    const KernelTuning tuning = parse_tuning({reinterpret_cast<const char*>(data), size}, key);
    for (const KernelTuning::Entry& entry : tuning.entries()) {
      AUTOGLM_CHECK(tuning.of(entry.type, entry.rows, entry.cols) == entry.tuning, "a shape stands for itself once");
      for (const TuningField& field : tuning_fields()) {
        const int32_t value = entry.tuning.*field.value;
        AUTOGLM_CHECK(value >= field.least && value <= field.most, "a value out of its range");
      }
    }
  } catch (const Error&) {
  }
  return 0;
}
