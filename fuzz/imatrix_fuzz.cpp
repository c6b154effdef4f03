// An importance file from anywhere: means that are numbers, or an Error.
#include <cmath>

#include "base/error.h"
#include "compress/imatrix.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace autoglm;
  try {
    for (const auto& [name, means] : parse_imatrix(std::as_bytes(std::span(data, size)), "fuzz")) {
      AUTOGLM_CHECK(!means.empty(), "means of some columns");
      for (const float mean : means) AUTOGLM_CHECK(!(mean < 0.0f), "a mean of squares");
    }
  } catch (const Error&) {
  }
  return 0;
}
