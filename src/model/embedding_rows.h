// The rows of a token embedding that a step needs, read from the file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/row_reads.h"
#include "kernels/backend.h"
#include "model/tensor_table.h"

namespace autoglm {

/// For an embedding that nothing needs as a whole, because the head is another tensor or has a packed form: its rows
/// are read from the file into a table of a step's rows, so that the embedding takes no memory. One thread.
class EmbeddingRows {
 public:
  EmbeddingRows() = default;  // not active
  /// Active if the source is a file that can be read. `rows`: most of a step.
  EmbeddingRows(const ModelSource& source, const LocatedTensor& embedding, Backend& backend, int64_t rows);

  bool active() const { return file_.active(); }
  /// Holds the rows of the last read().
  const Weight& table() const { return table_; }
  /// Reads the rows of these tokens, and returns their places in table(). Error bad_model_file if the file was cut.
  std::span<const int32_t> read(std::span<const int32_t> tokens);

 private:
  RowReads file_;
  int64_t offset_ = 0;  // of the embedding in its file
  int64_t row_bytes_ = 0;
  std::unique_ptr<std::byte[]> rows_;
  std::vector<int32_t> places_;  // 0, 1, 2, ...
  Weight table_;
};

}  // namespace autoglm
