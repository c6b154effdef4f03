// A GGUF file from anywhere: it is read or refused with an Error, and every tensor lies inside it.
#include <algorithm>
#include <span>
#include <vector>

#include "base/error.h"
#include "format/gguf_config.h"
#include "format/gguf_reader.h"

namespace {

using autoglm::TensorEntry;

/// Touches the ends of a tensor's data and decodes its first values.
void use(const TensorEntry& tensor, std::span<const std::byte> file) {
  AUTOGLM_CHECK(
      tensor.data.data() >= file.data() && tensor.data.data() + tensor.data.size() <= file.data() + file.size(),
      "data inside the file");
  const autoglm::TypeInfo& row = autoglm::info(tensor.type);
  AUTOGLM_CHECK(
      tensor.rows() * autoglm::row_bytes(tensor.type, tensor.columns()) == static_cast<int64_t>(tensor.data.size()),
      "shape and size agree");
  const int64_t n = std::min<int64_t>(tensor.elements(), 512) / row.block_columns * row.block_columns;
  std::vector<float> values(static_cast<size_t>(n));
  row.decode(tensor.data.data(), values.data(), n);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span file(reinterpret_cast<const std::byte*>(data), size);
  try {
    const autoglm::GgufContents contents = autoglm::read_gguf(file, "fuzz", size % 2 == 0);
    for (const TensorEntry& tensor : contents.tensors) use(tensor, file);
    autoglm::GgufConfig config(contents.metadata);
    config.per_layer("attention.head_count_kv", 4, 1);
    config.flags("attention.sliding_window_pattern", 4);
    config.rope();
    config.count("block_count", 1);
    config.finish();
  } catch (const autoglm::Error&) {
  }
  return 0;
}
