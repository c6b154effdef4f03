// A config.json from anywhere: every getter gives a value or an Error.
#include <string_view>

#include "base/error.h"
#include "format/hf_config.h"

namespace {

using autoglm::HfConfig;

template <typename Call>
void attempt(Call call) {
  try {
    call();
  } catch (const autoglm::Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  attempt([&] {
    HfConfig config(std::string_view(reinterpret_cast<const char*>(data), size));
    attempt([&] { config.model_type(); });
    attempt([&] { config.architectures(); });
    for (const char* key : {"hidden_size", "num_hidden_layers", "vocab_size", "head_dim"}) {
      attempt([&] { config.integer(key); });
      attempt([&] { config.count(key, 1); });
      attempt([&] { config.number(key, 1.0); });
    }
    attempt([&] { config.number("rms_norm_eps"); });
    attempt([&] { config.boolean("tie_word_embeddings", false); });
    attempt([&] { config.require("attention_bias", false); });
    attempt([&] { config.require("hidden_act", "silu"); });
    attempt([&] { config.texts("layer_types"); });
    attempt([&] { config.integers("eos_token_id"); });
    attempt([&] { config.numbers("scales"); });
    for (const char* layer_type : {"", "full_attention", "sliding_attention"}) {
      attempt([&] { config.rope(layer_type); });
    }
    config.finish();
  });
  return 0;
}
