// A model's configuration from anywhere, as config.json or as the header of a GGUF: a family reads it into a
// specification that passes check_spec(), or it is refused with an Error. What follows from a specification that
// passed (shapes, parameters, names, metadata) must hold for any such numbers.
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "format/gguf_reader.h"
#include "model/activations.h"
#include "model/families/family.h"
#include "model/gguf_metadata.h"
#include "model/memory_plan.h"
#include "model/tensor_table.h"

namespace {

using namespace autoglm;

class HeaderSource final : public ModelSource {
 public:
  explicit HeaderSource(GgufContents contents) {
    container_ = Container::gguf;
    metadata_ = std::move(contents.metadata);
    tensors_ = std::move(contents.tensors);
    index_tensors();
  }
  explicit HeaderSource(std::vector<std::string> names) {
    container_ = Container::safetensors;
    for (std::string& name : names)
      tensors_.push_back({.name = std::move(name), .type = Type::f32, .shape = {}, .data = {}});
    index_tensors();
  }
};

void use(const ArchSpec& spec) {
  AUTOGLM_CHECK(count_parameters(spec) > 0, "a model has parameters");
  for_each_tensor(spec, [&](const TensorRow& row, int layer, const TensorShape& shape) {
    AUTOGLM_CHECK(shape.count > 0 && shape.rows > 0 && shape.cols > 0, "shapes are positive");
    AUTOGLM_CHECK(!gguf_name(spec, row, layer).empty(), "every tensor has a name");
  });
  AUTOGLM_CHECK(activation_values(spec, 16, 1) > 0, "activations have a size");
  AUTOGLM_CHECK(kv_layers(spec, KvType::q8).size() == static_cast<size_t>(spec.layers), "every layer caches");
  step_limits(spec, 16, 1024);
  gguf_metadata(spec);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span bytes(reinterpret_cast<const std::byte*>(data), size);
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    if (text.starts_with("GGUF")) {
      const HeaderSource source(read_gguf(bytes, "fuzz", false));
      const ArchSpec spec = read_spec(source);
      use(spec);
      locate_tensors(spec, source);
    } else {
      HfConfig config(text);
      const HeaderSource source(std::vector<std::string>{size % 2 == 0 ? "lm_head.weight" : "none"});
      use(read_spec(config, source));
    }
  } catch (const Error& error) {
    AUTOGLM_CHECK(std::string_view(error.what()).size() > 3, "an error says something");
  }
  return 0;
}
