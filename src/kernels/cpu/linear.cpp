// The phases that are a matrix product with something before and after it.
#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "kernels/cpu/cpu_backend.h"

namespace autoglm::cpu {
namespace {

const float* bias_of(const Buffer* bias) { return bias != nullptr && *bias ? row_of(*bias, 0) : nullptr; }

void add_bias(const float* bias, int64_t at, int64_t m, int64_t width, float* tile) {
  if (bias == nullptr) return;
  for (int64_t t = 0; t < m; ++t) {
    for (int64_t i = 0; i < width; ++i) tile[t * kPanel + i] += bias[at + i];
  }
}

/// A tile's row to its place. The whole width is the common case: a size that the compiler knows.
void copy_width(const float* from, int64_t width, float* to) {
  if (width == kPanel) {
    std::memcpy(to, from, kPanel * sizeof(float));
  } else {
    std::copy_n(from, width, to);
  }
}

/// to += from * scale.
void add_width(const float* from, int64_t width, float scale, float* to) {
  if (width == kPanel) {
    for (int i = 0; i < kPanel; ++i) to[i] += from[i] * scale;
  } else {
    for (int64_t i = 0; i < width; ++i) to[i] += from[i] * scale;
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
  for (const Projection& p : args.projections) {
    const CpuWeight& weight = weight_of(*p.weight);
    AUTOGLM_CHECK(weight.cols == cols && weight.rows <= p.out->cols, "projection of the wrong shape");
    forms |= form_of(weight);
    panels += weight.panels;
  }
  Carver carver(step_pages_.data(), step_pages_.size());
  const Activations all = carve(carver, copies_of(args.rows) * args.rows, cols, forms);
  parallel([&](Worker& worker) {
    prefetch_range(worker, weight_of(*args.projections[0].weight));
    const Activations x = prepare(worker, args.rows, all, [&](int64_t row, const Activations& to) {
      prepare_row(row_of(*args.x, row) + args.in_offset, args.norm, row, to, worker);
    });
    share(worker, 1, panels, 1, [&](int64_t panel) {
      const Projection* p = args.projections.data();
      for (; panel >= weight_of(*p->weight).panels; ++p) panel -= weight_of(*p->weight).panels;
      const PanelProduct product(isa_, weight_of(*p->weight), 0, panel, args.rows, worker, 0);
      const int64_t at = panel * kPanel, width = product.width();
      for_chunks(args.rows, [&](int64_t first, int64_t m) {
        float* tile = worker.tile[0];
        product.multiply(x, nullptr, first, m, tile);
        add_bias(bias_of(p->bias), at, m, width, tile);
        for (int64_t t = 0; t < m; ++t) {
          copy_width(tile + t * kPanel, width, row_of(*p->out, first + t) + at);
        }
      });
    });
  });
}

void CpuBackend::project_add(const ProjectAddArgs& args) {
  const CpuWeight& weight = weight_of(*args.weight);
  AUTOGLM_CHECK(weight.cols <= args.x->cols && weight.rows <= args.residual->cols, "product of the wrong shape");
  const bool normed = args.post_norm != nullptr && args.post_norm->weight;
  Carver carver(step_pages_.data(), step_pages_.size());
  const Activations all = carve(carver, copies_of(args.rows) * args.rows, weight.cols, form_of(weight));
  float* product_rows = normed ? carver.take<float>(args.rows * weight.rows) : nullptr;
  parallel([&](Worker& worker) {
    prefetch_range(worker, weight);
    const Activations x = prepare(worker, args.rows, all, [&](int64_t row, const Activations& to) {
      prepare_row(row_of(*args.x, row), nullptr, row, to, worker);
    });
    share(worker, 1, weight.panels, 1, [&](int64_t panel) {
      const PanelProduct product(isa_, weight, 0, panel, args.rows, worker, 0);
      const int64_t at = panel * kPanel, width = product.width();
      for_chunks(args.rows, [&](int64_t first, int64_t m) {
        float* tile = worker.tile[0];
        product.multiply(x, nullptr, first, m, tile);
        add_bias(bias_of(args.bias), at, m, width, tile);
        for (int64_t t = 0; t < m; ++t) {
          const float* from = tile + t * kPanel;
          if (normed) {
            copy_width(from, width, product_rows + (first + t) * weight.rows + at);
          } else {
            add_width(from, width, args.scale, row_of(*args.residual, first + t) + at);
          }
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
  const Activations all = carve(carver, copies_of(args.rows) * args.rows, gate.cols, form_of(gate) | form_of(up));
  parallel([&](Worker& worker) {
    prefetch_range(worker, gate);
    const Activations x = prepare(worker, args.rows, all, [&](int64_t row, const Activations& to) {
      prepare_row(row_of(*args.x, row), args.norm, row, to, worker);
    });
    share(worker, 1, gate.panels, 1, [&](int64_t panel) {
      const PanelProduct gate_product(isa_, gate, 0, panel, args.rows, worker, 0);
      const PanelProduct up_product(isa_, up, 0, panel, args.rows, worker, 1);
      const int64_t at = panel * kPanel, width = gate_product.width();
      for_chunks(args.rows, [&](int64_t first, int64_t m) {
        gate_product.multiply(x, nullptr, first, m, worker.tile[0]);
        up_product.multiply(x, nullptr, first, m, worker.tile[1]);
        add_bias(bias_of(args.gate_bias), at, m, width, worker.tile[0]);
        add_bias(bias_of(args.up_bias), at, m, width, worker.tile[1]);
        isa_.activate(args.activation == Activation::gelu_tanh, worker.tile[0], worker.tile[1], m * kPanel);
        for (int64_t t = 0; t < m; ++t) {
          copy_width(worker.tile[0] + t * kPanel, width, row_of(*args.out, first + t) + at);
        }
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
      const PanelProduct product(isa_, *weight, 0, panel, terms * rows, worker, 0);
      for_chunks(terms * rows, [&](int64_t first, int64_t m) {
        float* tile = worker.tile[0];
        product.multiply(x, nullptr, first, m, tile);
        const int64_t logit_rows = m / terms;  // kChunk is even
        if (terms == 2) add_pairs(logit_rows, tile);
        if (args.softcap > 0.0f) isa_.softcap(tile, logit_rows * kPanel, args.softcap);
        for (int64_t t = 0; t < logit_rows; ++t) {
          copy_width(tile + t * kPanel, product.width(), row_of(*args.logits, first / terms + t) + panel * kPanel);
        }
      });
    });
  });
}

}  // namespace autoglm::cpu
