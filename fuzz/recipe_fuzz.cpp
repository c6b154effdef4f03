// A recipe of quantize from anywhere: a type for every tensor, or an Error; and what it writes is read back the same.
#include <string_view>

#include "base/error.h"
#include "compress/recipe.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace autoglm;
  try {
    const Recipe recipe = parse_recipe({reinterpret_cast<const char*>(data), size});
    const Type type = type_for_columns(recipe.type_of("blk.0.ffn_down.weight"), 576);
    AUTOGLM_CHECK(576 % info(type).block_columns == 0, "a type that these columns fill");
    AUTOGLM_CHECK(matches("*", recipe.yaml()), "a star stands for anything");
  } catch (const Error&) {
  }
  return 0;
}
