// The two ends: token embeddings, and the final norm with the logits.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "kernels/ref/ref_backend.h"
#include "kernels/ref/ref_ops.h"

namespace autoglm::ref {

void RefBackend::embed(const EmbedArgs& args) {
  for (size_t i = 0; i < args.tokens.size(); ++i) {
    float* out = row_of(*args.out, static_cast<int64_t>(i));
    decode_row(*args.table, args.tokens[i], out);
    for (int64_t c = 0; c < args.table->cols; ++c) out[c] *= args.scale;
  }
}

void RefBackend::head(const HeadArgs& args) {
  Rows x(std::ssize(args.rows), args.x->cols);
  for (size_t i = 0; i < args.rows.size(); ++i) {
    std::copy_n(row_of(*args.x, args.rows[i]), x.cols, x[static_cast<int64_t>(i)]);
  }
  normalize(args.norm, x);
  if (args.hidden != nullptr) {
    for (int64_t r = 0; r < x.rows; ++r) std::copy_n(x[r], x.cols, row_of(*args.hidden, r));
  }
  if (args.head == nullptr) return;
  const Rows logits = multiply_head(*args.head, x);
  for (int64_t r = 0; r < x.rows; ++r) {
    float* out = row_of(*args.logits, r);
    std::copy_n(logits[r], logits.cols, out);
    for (int64_t c = 0; c < logits.cols && args.softcap > 0.0f; ++c) {
      out[c] = args.softcap * std::tanh(out[c] / args.softcap);
    }
  }
}

void RefBackend::keep_rows(const KeepRowsArgs& args) {
  for (const Buffer* buffer : args.buffers) {
    for (size_t i = 0; i < args.rows.size(); ++i) {
      const float* from = row_of(*buffer, args.rows[i]);
      std::memmove(row_of(*buffer, static_cast<int64_t>(i)), from, static_cast<size_t>(buffer->cols) * 4);
    }
  }
}

}  // namespace autoglm::ref
