#include "model/embedding_rows.h"

#include <algorithm>

#include "base/error.h"
#include "model/packed_weights.h"

namespace autoglm {
namespace {

constexpr int64_t kSlotBytes = 4 << 20;  // some 1,800 rows of a 9 B model, 6,800 of SmolLM2: most words of a text

int64_t slot_count(const LocatedTensor& embedding) {
  const int64_t fit = kSlotBytes / row_bytes(embedding.type, embedding.shape.cols);
  return std::clamp<int64_t>(fit, 1, embedding.shape.rows);
}

}  // namespace

int64_t EmbeddingRows::table_bytes(const LocatedTensor& embedding, int64_t step_rows) {
  return (slot_count(embedding) + step_rows) * row_bytes(embedding.type, embedding.shape.cols);
}

EmbeddingRows::EmbeddingRows(const ModelSource& source, const LocatedTensor& embedding, Backend& backend,
                             int64_t step_rows) {
  const auto at = reinterpret_cast<uintptr_t>(embedding.view().data());
  for (const WeightFile& file : source.weight_files()) {
    const auto begin = reinterpret_cast<uintptr_t>(file.bytes.data());
    if (at < begin || at >= begin + file.bytes.size()) continue;
    offset_ = static_cast<int64_t>(at - begin);
    file_ = RowReads(file.path, file.stamp);
  }
  if (!active()) return;
  row_bytes_ = row_bytes(embedding.type, embedding.shape.cols);
  slots_.resize(static_cast<size_t>(slot_count(embedding)));
  places_.resize(static_cast<size_t>(step_rows));
  const auto size = static_cast<size_t>(table_bytes(embedding, step_rows));
  rows_ = std::make_unique<std::byte[]>(size);
  WeightSource table = weight_source(embedding, {rows_.get(), size});
  table.rows = std::ssize(slots_) + step_rows;
  table_ = backend.load(table, Precision::f32);  // read in place
}

std::span<const int32_t> EmbeddingRows::find(std::span<const int32_t> tokens) {
  AUTOGLM_CHECK(tokens.size() <= places_.size(), "more rows than a step has");
  ++step_;
  auto beside = static_cast<int32_t>(slots_.size());
  for (size_t i = 0; i < tokens.size(); ++i) places_[i] = place_of(tokens[i], beside);
  return std::span(places_).first(tokens.size());
}

int32_t EmbeddingRows::place_of(int32_t token, int32_t& beside) {
  const auto place = static_cast<int32_t>(static_cast<size_t>(token) % slots_.size());
  Slot& slot = slots_[static_cast<size_t>(place)];
  if (slot.token != token) {
    if (slot.step == step_) {  // taken by another token of this step
      read(token, beside);
      return beside++;
    }
    slot.token = -1;  // should the read fail
    read(token, place);
    slot.token = token;
  }
  slot.step = step_;
  return place;
}

void EmbeddingRows::read(int32_t token, int32_t place) {
  file_.read(offset_ + token * row_bytes_, {rows_.get() + place * row_bytes_, static_cast<size_t>(row_bytes_)});
}

}  // namespace autoglm
