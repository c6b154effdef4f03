// Mixture of experts: route, group the tokens by expert, and multiply each expert's weights once for all its tokens.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/router.h"

namespace autoglm::cpu {
namespace {

/// Scratch of one call, carved from the step's block. A slot is one (row, expert) pair; slots are ordered by expert,
/// then row; the shared expert's slots (one a row) come last.
struct Slots {
  float* logits;    // [rows][experts]
  Choice* choices;  // [rows][top_k], ascending experts
  int32_t* begin;   // [experts + 2]: first slot of each expert, the shared one, the end
  int32_t* row;     // [slots]
  float* weight;    // [slots]
  float* hidden;    // [slots][width]
  float* sum;       // [rows][cols]
};

/// Counting sort of the choices by expert; rows stay in order within an expert.
void group_by_expert(const RouterSpec& spec, int64_t rows, bool shared, const Slots& slots) {
  std::fill_n(slots.begin, spec.experts + 2, 0);
  for (int64_t i = 0; i < rows * spec.top_k; ++i) ++slots.begin[slots.choices[i].expert + 1];
  for (int e = 0; e < spec.experts; ++e) slots.begin[e + 1] += slots.begin[e];
  const int32_t routed = slots.begin[spec.experts];
  for (int64_t r = 0; r < rows; ++r) {
    for (int k = 0; k < spec.top_k; ++k) {
      const Choice& choice = slots.choices[r * spec.top_k + k];
      const int32_t slot = slots.begin[choice.expert]++;  // moves each begin to its end
      slots.row[slot] = static_cast<int32_t>(r);
      slots.weight[slot] = choice.weight;
    }
  }
  for (int e = spec.experts; e > 0; --e) slots.begin[e] = slots.begin[e - 1];
  slots.begin[0] = 0;
  slots.begin[spec.experts] = routed;
  slots.begin[spec.experts + 1] = routed + static_cast<int32_t>(shared ? rows : 0);
  for (int64_t r = 0; shared && r < rows; ++r) {
    slots.row[routed + r] = static_cast<int32_t>(r);
    slots.weight[routed + r] = 1.0f;
  }
}

struct ExpertWeights {
  const CpuWeight *gate, *up, *down;
  int64_t matrix;
};

}  // namespace

void CpuBackend::experts(const ExpertsArgs& args) {
  // What reserve() foresaw bounds the rows of one pass; a row's result does not depend on it.
  const int64_t per_row = args.spec.top_k + 1;
  const int64_t step = std::max<int64_t>(1, expert_slots(limits_) / per_row);
  for (int64_t first = 0; first < args.rows; first += step)
    experts_chunk(args, first, std::min(step, args.rows - first));
}

void CpuBackend::experts_chunk(const ExpertsArgs& args, int64_t first_row, int64_t rows) {
  const RouterSpec& spec = args.spec;
  const CpuWeight& router = weight_of(*args.router);
  const bool shared = args.shared_gate != nullptr;
  const auto weights_of = [&](int e) {
    return e < spec.experts ? ExpertWeights{&weight_of(*args.gate), &weight_of(*args.up), &weight_of(*args.down), e}
                            : ExpertWeights{&weight_of(*args.shared_gate), &weight_of(*args.shared_up),
                                            &weight_of(*args.shared_down), 0};
  };
  const int groups = spec.experts + (shared ? 1 : 0);
  const ExpertWeights routed = weights_of(0), last = weights_of(groups - 1);
  AUTOGLM_CHECK(router.rows == spec.experts && routed.gate->count == spec.experts && spec.top_k <= spec.experts,
                "experts of the wrong shape");
  const int64_t cols = router.cols, out_cols = routed.down->rows;
  const int64_t slot_count = rows * (spec.top_k + (shared ? 1 : 0));

  Carver carver(step_pages_.data(), step_pages_.size());
  const unsigned in_forms =
      form_of(router) | form_of(*routed.gate) | form_of(*routed.up) | form_of(*last.gate) | form_of(*last.up);
  const Activations x = carve(carver, rows, cols, in_forms);
  Slots slots{};
  slots.logits = carver.take<float>(rows * spec.experts);
  slots.choices = carver.take<Choice>(rows * spec.top_k);
  slots.begin = carver.take<int32_t>(spec.experts + 2);
  slots.row = carver.take<int32_t>(slot_count);
  slots.weight = carver.take<float>(slot_count);
  slots.hidden = carver.take<float>(slot_count * std::max(routed.gate->rows, last.gate->rows));
  slots.sum = carver.take<float>(rows * out_cols);
  const Activations inner = carve(carver, rows * spec.top_k, routed.down->cols, form_of(*routed.down));
  const Activations inner_shared = shared ? carve(carver, rows, last.down->cols, form_of(*last.down)) : Activations{};
  const int64_t width = std::max(routed.gate->rows, last.gate->rows);
  const float* correction = args.correction != nullptr && *args.correction ? row_of(*args.correction, 0) : nullptr;
  const bool gelu = args.activation == Activation::gelu_tanh;

  parallel([&](Worker& worker) {
    share(worker, 0, rows, grain_of(rows),
          [&](int64_t r) { prepare_row(row_of(*args.x, first_row + r), args.norm, r, x, worker); });
    barrier();
    share(worker, 1, router.panels, 1, [&](int64_t panel) {
      const PanelProduct product(isa_, router, 0, panel, rows, worker, worker.expanded[0]);
      for_chunks(rows, [&](int64_t first, int64_t m) {
        product.multiply(x, nullptr, first, m, worker.tile[0]);
        for (int64_t t = 0; t < m; ++t) {
          std::copy_n(worker.tile[0] + t * kPanel, product.width(),
                      slots.logits + (first + t) * spec.experts + panel * kPanel);
        }
      });
    });
    barrier();
    share(worker, 2, rows, grain_of(rows),
          [&](int64_t r) { route(spec, slots.logits + r * spec.experts, correction, slots.choices + r * spec.top_k); });
    barrier();
    share(worker, 3, 1, 1, [&](int64_t) { group_by_expert(spec, rows, shared, slots); });
    barrier();
    // Gate and up: a unit is a panel of an expert that has tokens.
    const int64_t gate_panels = routed.gate->panels, shared_panels = shared ? last.gate->panels : 0;
    share(worker, 4, spec.experts * gate_panels + shared_panels, 1, [&](int64_t unit) {
      const int e = unit < spec.experts * gate_panels ? static_cast<int>(unit / gate_panels) : spec.experts;
      const int64_t panel = unit - e * gate_panels, begin = slots.begin[e], m_all = slots.begin[e + 1] - begin;
      if (m_all == 0) return;
      const ExpertWeights w = weights_of(e);
      const PanelProduct gate(isa_, *w.gate, w.matrix, panel, m_all, worker, worker.expanded[0]);
      const PanelProduct up(isa_, *w.up, w.matrix, panel, m_all, worker, worker.expanded[1]);
      for_chunks(m_all, [&](int64_t first, int64_t m) {
        gate.multiply(x, slots.row + begin, first, m, worker.tile[0]);
        up.multiply(x, slots.row + begin, first, m, worker.tile[1]);
        isa_.activate(gelu, worker.tile[0], worker.tile[1], m * kPanel);
        for (int64_t t = 0; t < m; ++t) {
          std::copy_n(worker.tile[0] + t * kPanel, gate.width(),
                      slots.hidden + (begin + first + t) * width + panel * kPanel);
        }
      });
    });
    barrier();
    const int64_t routed_slots = slots.begin[spec.experts];
    share(worker, 5, slot_count, grain_of(slot_count), [&](int64_t slot) {
      const bool own = slot < routed_slots;
      prepare_row(slots.hidden + slot * width, nullptr, own ? slot : slot - routed_slots, own ? inner : inner_shared,
                  worker);
    });
    barrier();
    // Down: a unit is a panel of output columns through all experts in ascending order, so that sums need no lock.
    share(worker, 6, routed.down->panels, 1, [&](int64_t panel) {
      const int64_t at = panel * kPanel, columns = std::min<int64_t>(kPanel, out_cols - at);
      for (int64_t r = 0; r < rows; ++r) std::fill_n(slots.sum + r * out_cols + at, columns, 0.0f);
      for (int e = 0; e < groups; ++e) {
        const int64_t begin = slots.begin[e], m_all = slots.begin[e + 1] - begin;
        if (m_all == 0) continue;
        const ExpertWeights w = weights_of(e);
        const bool own = e < spec.experts;
        const PanelProduct product(isa_, *w.down, w.matrix, panel, m_all, worker, worker.expanded[0]);
        for_chunks(m_all, [&](int64_t first, int64_t m) {
          product.multiply(own ? inner : inner_shared, nullptr, (own ? begin : 0) + first, m, worker.tile[0]);
          for (int64_t t = 0; t < m; ++t) {
            const int64_t slot = begin + first + t;
            float* sum = slots.sum + slots.row[slot] * out_cols + at;
            const float weight = slots.weight[slot];
            for (int64_t i = 0; i < columns; ++i) sum[i] += weight * worker.tile[0][t * kPanel + i];
          }
        });
      }
    });
    barrier();
    share(worker, 7, rows, grain_of(rows), [&](int64_t r) {
      float* sum = slots.sum + r * out_cols;
      norm_head(args.post_norm, sum, out_cols);
      float* residual = row_of(*args.residual, first_row + r);
      for (int64_t c = 0; c < out_cols; ++c) residual[c] += sum[c];
    });
  });
}

}  // namespace autoglm::cpu
