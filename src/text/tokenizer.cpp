#include "text/tokenizer.h"

#include "base/error.h"
#include "text/tokenizer_files.h"

namespace autoglm {

std::unique_ptr<Tokenizer> load_tokenizer(const ModelSource& source) {
  if (source.container() == Container::gguf) return tokenizer_from_gguf(source.metadata());
  return nullptr;
}

}  // namespace autoglm
