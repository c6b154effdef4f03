// Which vector a model makes of a text, as its files say.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/request.h"
#include "format/model_source.h"
#include "text/chat_template.h"

namespace autoglm {

struct EmbeddingSpec {
  Pooling pooling = Pooling::none;
  std::string why_none{};  // with Pooling::none
  bool normalize = true;
  int64_t dimensions = 0;
  // A vector may be cut to fewer dimensions, to any or to these: models that were trained for it ("matryoshka").
  bool may_cut = false;
  std::vector<int64_t> cuts{};
};

/// From sentence-transformers' modules.json and 1_Pooling/config.json beside a folder's weights, or a GGUF's
/// pooling_type. What is there and cannot be honoured is Pooling::none with the reason. `hidden`: of the model.
EmbeddingSpec embedding_spec(const ModelSource& source, int64_t hidden);

/// The same from the texts of modules.json, of a file in a folder that it names, and of config.json.
struct EmbeddingFiles {
  std::string modules{}, pooling{}, config{};  // empty: not there
};
EmbeddingSpec read_embedding_files(const EmbeddingFiles& files, int64_t hidden);
/// The folder of modules.json's pooling module: a plain name, or empty.
std::string pooling_folder(const std::string& modules);

/// Cut to `dimensions` and, if the model's vectors are, made of length 1.
void finish_embedding(const EmbeddingSpec& spec, int64_t dimensions, std::vector<float>& vector);

}  // namespace autoglm
