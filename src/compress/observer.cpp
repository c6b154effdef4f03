#include "compress/observer.h"

#include <cmath>

namespace autoglm {

void apply_norm(std::span<float> rows, std::span<const float> weight, float eps) {
  const size_t cols = weight.size();
  for (size_t first = 0; first < rows.size(); first += cols) {
    double squares = 0;
    for (size_t i = 0; i < cols; ++i)
      squares += static_cast<double>(rows[first + i]) * static_cast<double>(rows[first + i]);
    const auto scale =
        static_cast<float>(1.0 / std::sqrt(squares / static_cast<double>(cols) + static_cast<double>(eps)));
    for (size_t i = 0; i < cols; ++i) rows[first + i] *= scale * weight[i];
  }
}

void Observer::observe(Watch watch, int only, bool stop) {
  watch_ = std::move(watch);
  only_ = only;
  stop_ = stop;
}

bool Observer::enter(const Buffer& x, int64_t rows, int64_t offset, int64_t cols, const Norm* norm,
                     std::vector<const Weight*> weights) {
  if (stopped_) return false;
  const int phase = phase_++;
  if (only_ >= 0 && phase != only_) return true;
  if (watch_) {
    rows_.resize(static_cast<size_t>(rows * x.cols));
    inner_.read(x, 0, rows_);
    if (norm && norm->weight) {
      std::vector<float> weight(static_cast<size_t>(x.cols));
      inner_.read(norm->weight, 0, weight);
      apply_norm(rows_, weight, norm->eps);
    }
    if (cols != x.cols) {
      slice_.clear();
      for (int64_t r = 0; r < rows; ++r) {
        const auto begin = rows_.begin() + r * x.cols + offset;
        slice_.insert(slice_.end(), begin, begin + cols);
      }
    }
    watch_(phase, weights, cols != x.cols ? slice_ : rows_);
  }
  stopped_ = stop_;
  return !stopped_;
}

void Observer::begin_step(int64_t rows, std::span<const int32_t> positions) {
  phase_ = 0;
  stopped_ = false;
  inner_.begin_step(rows, positions);
}

void Observer::embed(const EmbedArgs& args) { inner_.embed(args); }

void Observer::project(const ProjectArgs& args) {
  std::vector<const Weight*> weights;
  for (const Projection& projection : args.projections) weights.push_back(projection.weight);
  const int64_t cols = weights.front()->cols;
  if (enter(*args.x, args.rows, args.in_offset, cols, args.norm, std::move(weights))) inner_.project(args);
}

void Observer::attention(const AttentionArgs& args) {
  AttentionArgs readable = args;
  readable.next = nullptr;  // what goes there is looked at
  if (!stopped_) inner_.attention(readable);
}

void Observer::latent_attention(const LatentAttentionArgs& args) {
  if (!stopped_) inner_.latent_attention(args);
}

void Observer::keep_rows(const KeepRowsArgs& args) {
  if (!stopped_) inner_.keep_rows(args);
}

void Observer::project_add(const ProjectAddArgs& args) {
  if (enter(*args.x, args.rows, 0, args.weight->cols, nullptr, {args.weight})) inner_.project_add(args);
}

void Observer::gate_up(const GateUpArgs& args) {
  GateUpArgs readable = args;
  readable.next = nullptr;  // what goes there is looked at
  if (enter(*args.x, args.rows, 0, args.gate->cols, args.norm, {args.gate, args.up})) inner_.gate_up(readable);
}

// The inputs of the experts' second maps are inside the phase: those are not seen. The first maps of all experts are
// told what any of them might read.
void Observer::experts(const ExpertsArgs& args) {
  std::vector<const Weight*> weights = {args.gate, args.up};
  if (args.shared_gate) weights.insert(weights.end(), {args.shared_gate, args.shared_up});
  if (enter(*args.x, args.rows, 0, args.gate->cols, args.norm, std::move(weights))) inner_.experts(args);
}

void Observer::head(const HeadArgs& args) {
  if (!stopped_) inner_.head(args);
}

}  // namespace autoglm
