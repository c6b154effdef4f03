// A safetensors file, or its index, from anywhere: it is read or refused with an Error, and every tensor lies inside
// it.
#include <span>
#include <string_view>

#include "base/error.h"
#include "format/safetensors_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span file(reinterpret_cast<const std::byte*>(data), size);
  try {
    for (const autoglm::TensorEntry& tensor : autoglm::read_safetensors(file, "fuzz")) {
      AUTOGLM_CHECK(
          tensor.data.data() >= file.data() && tensor.data.data() + tensor.data.size() <= file.data() + file.size(),
          "data inside the file");
      AUTOGLM_CHECK(
          tensor.rows() * autoglm::row_bytes(tensor.type, tensor.columns()) == static_cast<int64_t>(tensor.data.size()),
          "shape and size agree");
    }
  } catch (const autoglm::Error&) {
  }
  try {
    autoglm::read_safetensors_index(std::string_view(reinterpret_cast<const char*>(data), size), "fuzz");
  } catch (const autoglm::Error&) {
  }
  return 0;
}
