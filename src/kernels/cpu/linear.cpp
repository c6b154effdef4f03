// The phases that are a matrix product with something before and after it.
#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "kernels/cpu/cpu_backend.h"

namespace autoglm::cpu {
namespace {

constexpr int64_t kFloats = sizeof(ActGroup) / sizeof(float);

const float* bias_of(const Buffer* bias) { return bias != nullptr && *bias ? row_of(*bias, 0) : nullptr; }

void add_bias(const float* bias, int64_t at, int64_t m, int64_t width, float* tile) {
  if (bias == nullptr) return;
  for (int64_t t = 0; t < m; ++t) {
    for (int64_t i = 0; i < width; ++i) tile[t * kPanel + i] += bias[at + i];
  }
}

/// A tile's rows to their places, `stride` apart. The whole width is the common case: a size that the compiler knows.
void copy_rows(const float* tile, int64_t m, int64_t width, float* to, int64_t stride) {
  for (int64_t t = 0; t < m; ++t, tile += kPanel, to += stride) {
    if (width == kPanel) {
      std::memcpy(to, tile, kPanel * sizeof(float));
    } else {
      std::copy_n(tile, width, to);
    }
  }
}

/// Rows 2t and 2t + 1 of a tile added into row t.
void add_pairs(int64_t n, float* tile) {
  for (int64_t t = 0; t < n; ++t) {
    for (int i = 0; i < kPanel; ++i) {
      tile[t * kPanel + i] = tile[2 * t * kPanel + i] + tile[(2 * t + 1) * kPanel + i];
    }
  }
}

}  // namespace

void CpuBackend::embed(const EmbedArgs& args) {
  const CpuWeight& table = weight_of(*args.table);
  const TypeInfo& type = info(table.type);
  const auto n = static_cast<int64_t>(args.tokens.size());
  const auto one = [&](int64_t i) {
    const int32_t token = args.tokens[static_cast<size_t>(i)];
    AUTOGLM_CHECK(token >= 0 && token < table.rows, "token outside the embedding table");
    float* out = row_of(*args.out, i);
    type.decode(table.source + token * table.row_size, out, table.cols);
    if (args.scale != 1.0f) {
      for (int64_t c = 0; c < table.cols; ++c) out[c] *= args.scale;
    }
  };
  if (n < 16) {
    const FlushDenormals flush;  // as in parallel(): a row's bits must not depend on how many there are
    for (int64_t i = 0; i < n; ++i) one(i);
  } else {
    parallel([&](Worker& worker) { share(worker, 0, n, 8, one); });
  }
}

void CpuBackend::project(const ProjectArgs& args) {
  AUTOGLM_CHECK(!args.projections.empty(), "nothing to project to");
  const int64_t cols = args.projections[0].weight->cols;
  AUTOGLM_CHECK(args.in_offset + cols <= args.x->cols, "columns outside their buffer");
  unsigned forms = 0;
  int64_t panels = 0;
  const CpuWeight* largest = &weight_of(*args.projections[0].weight);
  for (const Projection& p : args.projections) {
    const CpuWeight& weight = weight_of(*p.weight);
    AUTOGLM_CHECK(weight.cols == cols && weight.rows <= p.out->cols, "projection of the wrong shape");
    forms |= form_for(weight, args.rows);
    panels += weight.panels;
    if (expanded_bytes(weight) > expanded_bytes(*largest)) largest = &weight;
  }
  Carver carver(step_pages_.data(), step_pages_.size());
  const Activations all = carve(carver, copies_of(args.rows) * args.rows, cols, forms);
  const Blocking block = blocking(all, std::array{largest}, panels, args.rows);
  parallel([&](Worker& worker) {
    prefetch_range(worker, weight_of(*args.projections[0].weight));
    const Activations x = prepare(worker, args.rows, all, [&](int64_t row, const Activations& to) {
      prepare_row(row_of(*args.x, row) + args.in_offset, args.norm, row, to, worker);
    });
    share_products(worker, 1, panels, args.rows, block, [&](int64_t begin, int64_t end, const RowRange& rows) {
      for (const Projection& p : args.projections) {
        const CpuWeight& weight = weight_of(*p.weight);
        const int64_t last = std::min(end, weight.panels);
        if (begin < last) {
          multiply_panels<1>(worker, {&weight}, begin, last, x, rows, block, {row_of(*p.out, 0), p.out->cols},
                             [&](float* to, int64_t at, int64_t m, int64_t width) {
                               add_bias(bias_of(p.bias), at, m, width, worker.tile[0]);
                               copy_rows(worker.tile[0], m, width, to, p.out->cols);
                             });
        }
        begin = std::max<int64_t>(0, begin - weight.panels);
        end -= weight.panels;
        if (end <= 0) break;
      }
    });
  });
}

void CpuBackend::project_add(const ProjectAddArgs& args) {
  const CpuWeight& weight = weight_of(*args.weight);
  AUTOGLM_CHECK(weight.cols <= args.x->cols && weight.rows <= args.residual->cols, "product of the wrong shape");
  const bool normed = args.post_norm != nullptr && args.post_norm->weight;
  Carver carver(step_pages_.data(), step_pages_.size());
  const Activations ready = coded(*args.x);
  AUTOGLM_CHECK(ready.codes == nullptr || form_for(weight, args.rows) == kCodes, "codes of another weight");
  const Activations all = ready.codes != nullptr ? ready
                                                 : carve(carver, copies_of(args.rows) * args.rows, weight.cols,
                                                         form_for(weight, args.rows));
  float* product_rows = normed ? carver.take<float>(args.rows * weight.rows) : nullptr;
  const Blocking block = blocking(all, std::array{&weight}, weight.panels, args.rows);
  const RowsOut out =
      normed ? RowsOut{product_rows, weight.rows} : RowsOut{row_of(*args.residual, 0), args.residual->cols};
  parallel([&](Worker& worker) {
    prefetch_range(worker, weight);
    const auto round = [&](int64_t row, const Activations& to) {
      prepare_row(row_of(*args.x, row), nullptr, row, to, worker);
    };
    const Activations x = ready.codes != nullptr ? ready : prepare(worker, args.rows, all, round);
    share_products(worker, 1, weight.panels, args.rows, block, [&](int64_t begin, int64_t end, const RowRange& rows) {
      multiply_panels<1>(worker, {&weight}, begin, end, x, rows, block, out,
                         [&](float* to, int64_t at, int64_t m, int64_t width) {
                           add_bias(bias_of(args.bias), at, m, width, worker.tile[0]);
                           if (normed) {
                             copy_rows(worker.tile[0], m, width, to, out.stride);
                           } else {
                             isa_.add_tile(worker.tile[0], m, width, args.scale, to, out.stride);
                           }
                         });
    });
    if (!normed) return;
    barrier();
    share(worker, 2, args.rows, grain_of(args.rows), [&](int64_t row) {
      float* y = product_rows + row * weight.rows;
      isa_.rms_norm(y, row_of(args.post_norm->weight, 0), args.post_norm->eps, weight.rows, y);
      isa_.axpy(args.scale, y, weight.rows, row_of(*args.residual, row));
    });
  });
}

void CpuBackend::gate_up(const GateUpArgs& args) {
  const CpuWeight& gate = weight_of(*args.gate);
  const CpuWeight& up = weight_of(*args.up);
  AUTOGLM_CHECK(gate.rows == up.rows && gate.cols == up.cols && gate.rows <= args.out->cols, "gate and up differ");
  Carver carver(step_pages_.data(), step_pages_.size());
  const Activations all =
      carve(carver, copies_of(args.rows) * args.rows, gate.cols, form_for(gate, args.rows) | form_for(up, args.rows));
  const Blocking block = blocking(all, std::array{&gate, &up}, gate.panels, args.rows);
  const bool codes = leaves_codes(*args.out, args.next, args.rows);
  hold_codes(*args.out, codes);
  RowsOut out;
  if (codes) {
    const Activations rows = coded(*args.out);
    out = {reinterpret_cast<float*>(rows.codes), rows.code_stride() * kFloats, kFloats};
  } else {
    out = {row_of(*args.out, 0), args.out->cols};
  }
  parallel([&](Worker& worker) {
    prefetch_range(worker, gate);
    const Activations x = prepare(worker, args.rows, all, [&](int64_t row, const Activations& to) {
      prepare_row(row_of(*args.x, row), args.norm, row, to, worker);
    });
    share_products(worker, 1, gate.panels, args.rows, block, [&](int64_t begin, int64_t end, const RowRange& rows) {
      multiply_panels<2>(
          worker, {&gate, &up}, begin, end, x, rows, block, out, [&](float* to, int64_t at, int64_t m, int64_t width) {
            add_bias(bias_of(args.gate_bias), at, m, width, worker.tile[0]);
            add_bias(bias_of(args.up_bias), at, m, width, worker.tile[1]);
            isa_.activate(args.activation == Activation::gelu_tanh, worker.tile[0], worker.tile[1], m * kPanel);
            if (!codes) return copy_rows(worker.tile[0], m, width, to, out.stride);
            isa_.quantize(worker.tile[0], m, reinterpret_cast<ActGroup*>(to), 1, out.stride / kFloats);
          });
    });
  });
}

void CpuBackend::head(const HeadArgs& args) {
  const auto rows = static_cast<int64_t>(args.rows.size());
  if (rows == 0) return;
  const int64_t cols = args.x->cols;
  const CpuWeight* weight = args.head != nullptr ? &weight_of(*args.head) : nullptr;
  const int64_t panels = weight != nullptr ? weight->panels : 0;
  AUTOGLM_CHECK(weight == nullptr || (weight->cols == cols && weight->rows <= args.logits->cols),
                "head of wrong shape");
  Carver carver(step_pages_.data(), step_pages_.size());
  const unsigned form = weight != nullptr ? form_of(*weight) : 0u;
  // Against int8 a logit is the sum of two products: of the row's codes and of what their rounding left over.
  const int64_t terms = form == kCodes ? 2 : 1;
  const Activations x = carve(carver, terms * rows, cols, form | kF32);
  parallel([&](Worker& worker) {
    share(worker, 0, rows, grain_of(rows), [&](int64_t i) {
      const int64_t at = terms * i;
      prepare_row(row_of(*args.x, args.rows[static_cast<size_t>(i)]), args.norm, at, x, worker);
      const float* normed = x.f32 + at * cols;
      if (args.hidden != nullptr) std::memcpy(row_of(*args.hidden, i), normed, static_cast<size_t>(cols) * 4);
      if (terms == 1) return;
      ActGroup* codes = x.codes + at * x.code_stride();
      isa_.quantize_twice(normed, x.groups(), codes, codes + x.code_stride());
    });
    barrier();
    share(worker, 1, panels, 1, [&](int64_t panel) {
      const PanelProduct product(isa_, *weight, 0, panel, terms * rows, worker, worker.expanded[0]);
      for_chunks(terms * rows, [&](int64_t first, int64_t m) {
        float* tile = worker.tile[0];
        product.multiply(x, nullptr, first, m, tile);
        const int64_t logit_rows = m / terms;  // kChunk is even
        if (terms == 2) add_pairs(logit_rows, tile);
        if (args.softcap > 0.0f) isa_.softcap(tile, logit_rows * kPanel, args.softcap);
        float* to = row_of(*args.logits, first / terms) + panel * kPanel;
        copy_rows(tile, logit_rows, product.width(), to, args.logits->cols);
      });
    });
  });
}

}  // namespace autoglm::cpu
