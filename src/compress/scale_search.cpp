#include "compress/scale_search.h"

#include <algorithm>
#include <utility>

#include "model/gguf_values.h"

namespace autoglm {
namespace {

constexpr int64_t kSampleValues = int64_t{1} << 19;
constexpr int64_t kFewestRows = 128;
constexpr int64_t kMostRows = 1024;

// The part of `values` that belongs to one matrix of the stack, or where `set` is negative the mean over all.
std::vector<float> of_matrix(const std::vector<float>& values, int64_t cols, int64_t set) {
  if (std::ssize(values) == cols) return values;
  const int64_t count = std::ssize(values) / cols;
  if (set >= 0) return {values.begin() + set * cols, values.begin() + (set + 1) * cols};
  std::vector<float> out(static_cast<size_t>(cols));
  for (int64_t i = 0; i < std::ssize(values); ++i) {
    out[static_cast<size_t>(i % cols)] += values[static_cast<size_t>(i)] / static_cast<float>(count);
  }
  return out;
}

ScaledReader sample(WorkerPool& pool, const ArchSpec& spec, Container container, const ScaledChannels& channels,
                    const ReaderPlan& plan, int64_t set) {
  const LocatedTensor& tensor = *plan.tensor;
  const int64_t cols = tensor.shape.cols;
  ScaledReader out;
  out.type = plan.type;
  out.grid = plan.grid;
  out.cols = cols;
  out.weighted = plan.weighted;
  out.cost = of_matrix(plan.cost, cols, set);
  for (int64_t j = 0; j < cols; ++j) {
    const auto& channel = channels.site->channel;
    out.channel.push_back(static_cast<int32_t>(channel ? channel(spec, tensor.layer, j) : j));
  }
  const int64_t rows = set < 0 ? tensor.shape.count * tensor.shape.rows : tensor.shape.rows;
  const int64_t first = std::max<int64_t>(set, 0) * tensor.shape.rows;
  const int64_t count = std::min(rows, std::clamp(kSampleValues / cols, kFewestRows, kMostRows));
  out.rows.resize(static_cast<size_t>(count * cols));
  const GgufRows source(spec, container, tensor);
  pool.parallel_for(count, 8, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      info(tensor.type).decode(source.row(first + i * rows / count).data(), out.rows.data() + i * cols, cols);
    }
  });
  return out;
}

// The mean over the columns that read a channel, and over the readers.
std::vector<float> squares_of(std::span<const ScaledReader> readers, std::span<const ReaderPlan> plans, int64_t set,
                              int64_t channels) {
  std::vector<double> sums(static_cast<size_t>(channels));
  std::vector<double> counts(sums.size());
  for (size_t r = 0; r < readers.size(); ++r) {
    const std::vector<float> squares = of_matrix(plans[r].squares, readers[r].cols, set);
    for (size_t j = 0; j < squares.size(); ++j) {
      sums[static_cast<size_t>(readers[r].channel[j])] += static_cast<double>(squares[j]);
      counts[static_cast<size_t>(readers[r].channel[j])] += 1;
    }
  }
  std::vector<float> out(sums.size());
  for (size_t c = 0; c < out.size(); ++c) out[c] = static_cast<float>(sums[c] / std::max(counts[c], 1.0));
  return out;
}

}  // namespace

ScaleSearch::ScaleSearch(const ArchSpec& spec, const std::vector<LocatedTensor>& tensors, Container container,
                         TypeOf type_of)
    : spec_(spec), tensors_(tensors), container_(container), type_of_(std::move(type_of)), scales_(spec) {}

bool ScaleSearch::can_scale(const ScaledChannels& site, std::span<const ReaderPlan> readers) const {
  for (const LocatedTensor& tensor : tensors_) {
    const Role role = tensor.row->role;
    if (tensor.layer != site.layer || tensor.row->form != Form::matrix || role == Role::router) continue;
    const bool reads = std::ranges::find(site.site->readers, role) != site.site->readers.end();
    const bool known =
        std::ranges::any_of(readers, [&](const ReaderPlan& plan) { return plan.tensor->row->role == role; });
    if (reads && !known) return false;
    const bool writes = std::ranges::find(site.site->writers, role) != site.site->writers.end();
    const Type type = type_of_(tensor);
    if (writes && type != Type::f32 && !info(type).quantized) return false;
  }
  return true;
}

void ScaleSearch::take(const ScaledChannels& site, std::vector<float> scales) {
  decided_.insert(site.name());
  if (std::ranges::all_of(scales, [](float scale) { return scale == 1.0f; })) return;
  scales_.set(site, std::move(scales));
  ++scaled_;
}

bool ScaleSearch::known(const LocatedTensor& tensor, const TensorStore& store) {
  const auto site = channels_read_by(spec_, tensor.row->role, tensor.layer);
  if (!site || decided_.contains(site->name())) return true;
  const int64_t bytes = site->values() * static_cast<int64_t>(sizeof(float));
  const auto kept = store.read(site->name() + ".scales", Type::f32, bytes);
  if (!kept) return false;
  std::vector<float> scales(static_cast<size_t>(site->values()));
  info(Type::f32).decode(kept->data(), scales.data(), site->values());
  take(*site, std::move(scales));
  return true;
}

void ScaleSearch::decide(WorkerPool& pool, const LocatedTensor& tensor, std::span<const ReaderPlan> readers,
                         const TensorStore& store) {
  const auto site = channels_read_by(spec_, tensor.row->role, tensor.layer);
  if (!site) return;
  std::vector<float> scales;
  const bool can = can_scale(*site, readers);
  for (int64_t set = 0; can && set < site->sets; ++set) {
    const int64_t matrix = site->sets > 1 ? set : -1;
    std::vector<ScaledReader> samples;
    for (const ReaderPlan& plan : readers) samples.push_back(sample(pool, spec_, container_, *site, plan, matrix));
    ChosenScales chosen = choose_scales(pool, samples, squares_of(samples, readers, matrix, site->channels));
    if (chosen.scales.empty()) chosen.scales.assign(static_cast<size_t>(site->channels), 1.0f);
    scales.insert(scales.end(), chosen.scales.begin(), chosen.scales.end());
  }
  scales.resize(static_cast<size_t>(site->values()), 1.0f);
  store.write(site->name() + ".scales", Type::f32, std::as_bytes(std::span(scales)));
  take(*site, std::move(scales));
}

}  // namespace autoglm
