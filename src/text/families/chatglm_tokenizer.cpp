#include "text/families/chatglm_tokenizer.h"

namespace autoglm {

// THUDM/chatglm3-6b tokenization_chatglm.py, class SPTokenizer.
ExtraTokens extra_tokens(std::string_view tokenizer_class) {
  if (tokenizer_class != "ChatGLMTokenizer") return {};
  return {{"[MASK]", "[gMASK]", "[sMASK]", "sop", "eop", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"},
          {"[gMASK]", "sop"}};
}

}  // namespace autoglm
