#include "model/embedding_rows.h"

#include <numeric>

#include "base/error.h"
#include "model/packed_weights.h"

namespace autoglm {

EmbeddingRows::EmbeddingRows(const ModelSource& source, const LocatedTensor& embedding, Backend& backend,
                             int64_t rows) {
  const auto at = reinterpret_cast<uintptr_t>(embedding.view().data());
  for (const WeightFile& file : source.weight_files()) {
    const auto begin = reinterpret_cast<uintptr_t>(file.bytes.data());
    if (at < begin || at >= begin + file.bytes.size()) continue;
    offset_ = static_cast<int64_t>(at - begin);
    file_ = RowReads(file.path, file.stamp);
  }
  if (!active()) return;
  row_bytes_ = row_bytes(embedding.type, embedding.shape.cols);
  const auto size = static_cast<size_t>(rows * row_bytes_);
  rows_ = std::make_unique<std::byte[]>(size);
  places_.resize(static_cast<size_t>(rows));
  std::iota(places_.begin(), places_.end(), 0);
  WeightSource table = weight_source(embedding, {rows_.get(), size});
  table.rows = rows;
  table_ = backend.load(table, Precision::f32);  // read in place
}

std::span<const int32_t> EmbeddingRows::read(std::span<const int32_t> tokens) {
  AUTOGLM_CHECK(tokens.size() <= places_.size(), "more rows than a step has");
  std::byte* to = rows_.get();
  for (const int32_t token : tokens) {
    file_.read(offset_ + token * row_bytes_, {to, static_cast<size_t>(row_bytes_)});
    to += row_bytes_;
  }
  return std::span(places_).first(tokens.size());
}

}  // namespace autoglm
