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
/// are read from the file into a small table, so that the embedding takes no memory. Rows stay in the table until
/// another token needs their slot, so that a step whose tokens were met lately asks the kernel for nothing. One thread.
class EmbeddingRows {
 public:
  EmbeddingRows() = default;  // not active
  /// Active if the source is a file that can be read. `step_rows`: most of a step.
  EmbeddingRows(const ModelSource& source, const LocatedTensor& embedding, Backend& backend, int64_t step_rows);

  /// Memory of the table.
  static int64_t table_bytes(const LocatedTensor& embedding, int64_t step_rows);

  bool active() const { return file_.active(); }
  /// Holds the rows of the last find().
  const Weight& table() const { return table_; }
  /// The places in table() of these tokens' rows, which are read if they are not there. Error bad_model_file if the
  /// file was cut.
  std::span<const int32_t> find(std::span<const int32_t> tokens);

 private:
  struct Slot {
    int32_t token = -1;
    int64_t step = -1;  // the last that used it
  };

  int32_t place_of(int32_t token, int32_t& beside);
  void read(int32_t token, int32_t place);

  RowReads file_;
  int64_t offset_ = 0;  // of the embedding in its file
  int64_t row_bytes_ = 0;
  std::vector<Slot> slots_;            // of token t: t modulo their count
  std::unique_ptr<std::byte[]> rows_;  // one a slot, then a step's whose slots others of the same step have
  std::vector<int32_t> places_;        // of the step
  int64_t step_ = 0;
  Weight table_;
};

}  // namespace autoglm
