#include "text/tokenizer.h"

#include "text/tokenizer_files.h"

namespace autoglm {

std::unique_ptr<Tokenizer> load_tokenizer(const ModelSource& source) {
  if (source.container() == Container::gguf) return tokenizer_from_gguf(source.metadata());
  const TokenizerSettings settings{source.file("tokenizer_config.json"), source.file("generation_config.json")};
  if (const auto json = source.file("tokenizer.json")) return tokenizer_from_json(*json, settings);
  if (const auto model = source.file("tokenizer.model")) return tokenizer_from_spm(*model, settings);
  return nullptr;
}

}  // namespace autoglm
