#include "tune/kernel_tuner.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>
#include <tuple>

#include "model/families/family.h"
#include "model/tensor_table.h"

namespace autoglm {
namespace {

/// Packed weights that one measurement reads: more than a core's cache, so that they come from where they do in a step.
constexpr int64_t kMeasuredBytes = int64_t{32} << 20;

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// Pairs of measurements of two tunings over some numbers of rows.
class Duel {
 public:
  Duel(const MeasureProduct& measure, const ShapeTuning& holder, const TuningChoice& choice)
      : measure_(measure), holder_(holder), choice_(choice), ratios_(choice.rows.size()) {}

  /// One more pair for each number of rows; the ratio of the times, on average.
  double pair() {
    double logs = 0.0;
    for (size_t i = 0; i < choice_.rows.size(); ++i) {
      double time[2];  // holder, choice
      for (int turn = 0; turn < 2; ++turn) {
        const bool second = (turn + pairs_) % 2 != 0;
        time[second ? 1 : 0] = measure_(second ? choice_.tuning : holder_, choice_.rows[i]);
      }
      const double ratio = time[1] / std::max(time[0], 1e-12);
      ratios_[i].push_back(ratio);
      logs += std::log(std::max(ratio, 1e-12));
    }
    ++pairs_;
    return std::exp(logs / static_cast<double>(choice_.rows.size()));
  }

  /// `pairs` of them; false as soon as one was lost.
  bool win_all(int pairs) {
    for (int i = 0; i < pairs; ++i) {
      if (pair() >= 1.0) return false;
    }
    return ratio() <= kWorthIt && worst() <= kNoWorse;
  }

  /// Medians over the pairs: their mean over the numbers of rows, and the largest.
  double ratio() const {
    double logs = 0.0;
    for (const std::vector<double>& ratios : ratios_) logs += std::log(std::max(median(ratios), 1e-12));
    return std::exp(logs / static_cast<double>(ratios_.size()));
  }
  double worst() const {
    double worst = 0.0;
    for (const std::vector<double>& ratios : ratios_) worst = std::max(worst, median(ratios));
    return worst;
  }

 private:
  const MeasureProduct& measure_;
  ShapeTuning holder_;
  const TuningChoice& choice_;
  std::vector<std::vector<double>> ratios_;  // by number of rows
  int pairs_ = 0;
};

/// The field by which a choice differs from what it is a choice for.
int32_t ShapeTuning::* changed_field(const ShapeTuning& from, const ShapeTuning& to) {
  for (const TuningField& field : tuning_fields()) {
    if (from.*field.value != to.*field.value) return field.value;
  }
  return nullptr;
}

/// The choice of a field that wins by most against what is kept so far, if any does.
std::optional<TuningChoice> best_choice(const TuningField& field, const std::vector<TuningChoice>& choices,
                                        const MeasureProduct& measure, TuningResult& result) {
  std::optional<TuningChoice> best;
  double best_ratio = 1.0;
  for (const TuningChoice& choice : choices) {
    if (choice.rows.empty() || changed_field(result.tuning, choice.tuning) != field.value) continue;
    Duel duel(measure, result.tuning, choice);
    const bool won = duel.win_all(kPairs);
    result.trials.push_back({choice.tuning, duel.ratio(), false});
    if (won && duel.ratio() < best_ratio) best = choice, best_ratio = duel.ratio();
  }
  return best;
}

}  // namespace

TuningResult tune_shape(const ListChoices& choices, const MeasureProduct& measure) {
  constexpr int kMoves = 4;  // of one field
  TuningResult result;
  double time = 1.0;  // of the default
  for (const TuningField& field : tuning_fields()) {
    for (int move = 0; move < kMoves; ++move) {
      const std::optional<TuningChoice> best = best_choice(field, choices(result.tuning), measure, result);
      if (!best) break;
      Duel duel(measure, ShapeTuning{}, *best);
      if (!duel.win_all(kConfirmPairs)) break;
      result.tuning = best->tuning;
      time = std::min(time, duel.ratio());
    }
  }
  for (TuningTrial& trial : result.trials) trial.kept = trial.tuning == result.tuning && time < 1.0;
  result.gain = 1.0 / time;
  return result;
}

std::vector<TunedShape> shapes_to_tune(const ModelSource& source) {
  const ArchSpec spec = read_spec(source);
  std::vector<TunedShape> shapes;
  for (const LocatedTensor& tensor : locate_tensors(spec, source)) {
    const Role role = tensor.row->role;
    const bool looked_up = role == Role::token_embedding && !spec.tied_head;
    if (tensor.row->form != Form::matrix || looked_up || role == Role::router || !info(tensor.type).quantized) continue;
    const auto same = [&](const TunedShape& s) {
      return std::tie(s.type, s.rows, s.cols) == std::tie(tensor.type, tensor.shape.rows, tensor.shape.cols);
    };
    auto shape = std::find_if(shapes.begin(), shapes.end(), same);
    if (shape == shapes.end()) {
      shapes.push_back({tensor.type, tensor.shape.rows, tensor.shape.cols, {}, 0});
      shape = shapes.end() - 1;
    }
    shape->matrices += tensor.shape.count;
    if (!tensor.is_view()) continue;
    const auto bytes = static_cast<size_t>(row_bytes(tensor.type, tensor.shape.cols) * tensor.shape.rows);
    for (int64_t i = 0; i < tensor.shape.count; ++i) {
      shape->data.push_back(tensor.view().subspan(static_cast<size_t>(i) * bytes, bytes));
    }
  }
  std::erase_if(shapes, [](const TunedShape& s) { return s.data.empty(); });
  std::sort(shapes.begin(), shapes.end(), [](const TunedShape& a, const TunedShape& b) {
    return a.rows * a.cols * a.matrices > b.rows * b.cols * b.matrices;
  });
  return shapes;
}

struct ShapeBench::State {
  Backend& backend;
  std::vector<Weight> weights;
  Buffer x, out;
  std::vector<int32_t> positions;
};

ShapeBench::ShapeBench(Backend& backend, const TunedShape& shape)
    : state_(std::make_unique<State>(State{backend, {}, {}, {}, {}})) {
  State& s = *state_;
  // Of a large matrix (a head) the first rows: a worker goes through panels of 32 rows one after the other anyway.
  const int64_t row_size = row_bytes(shape.type, shape.cols);
  const int64_t rows = std::clamp<int64_t>(kMeasuredBytes / row_size / 32 * 32, 32, std::max<int64_t>(shape.rows, 32));
  const int64_t measured = std::min(rows, shape.rows);
  int64_t bytes = 0;
  for (const std::span<const std::byte> data : shape.data) {
    if (bytes >= kMeasuredBytes) break;
    s.weights.push_back(backend.load(
        {"tuned", shape.type, 1, measured, shape.cols, data.first(static_cast<size_t>(measured * row_size))},
        Precision::automatic));
    bytes += measured * row_size;
  }
  StepLimits limits;
  limits.rows = kMostTunedRows;
  limits.widest = std::max(measured, shape.cols);
  limits.heads = 1;
  limits.head_dim = 16;
  limits.context = kMostTunedRows;
  backend.reserve(limits);
  s.x = backend.make_buffer(kMostTunedRows, shape.cols);
  s.out = backend.make_buffer(kMostTunedRows, measured);
  std::vector<float> values(static_cast<size_t>(kMostTunedRows * shape.cols));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i * 2654435761u % 2001) / 1000.0f - 1.0f;
  backend.write(s.x, 0, values);
  s.positions.resize(kMostTunedRows);
  seconds({}, kMostTunedRows);  // touches everything once
}

ShapeBench::~ShapeBench() = default;

std::vector<TuningChoice> ShapeBench::choices(const ShapeTuning& current) const {
  return state_->backend.tuning_choices(state_->weights.front(), current);
}

double ShapeBench::seconds(const ShapeTuning& tuning, int64_t rows) {
  State& s = *state_;
  for (const Weight& weight : s.weights) s.backend.tune(weight, tuning);
  s.backend.begin_step(rows, {s.positions.data(), static_cast<size_t>(rows)});
  const auto begin = std::chrono::steady_clock::now();
  for (const Weight& weight : s.weights) {
    const Projection projection{&weight, nullptr, &s.out};
    s.backend.project({rows, &s.x, 0, nullptr, {&projection, 1}});
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace autoglm
