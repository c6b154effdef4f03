#include "compress/layer_walk.h"

#include <set>

#include "base/error.h"

namespace autoglm {

LayerWalk::LayerWalk(const ModelSource& source, Runtime& runtime, const WalkOptions& options)
    : source_(source), runtime_(runtime), options_(options), runner_(source, runtime, options.windows) {}

void LayerWalk::run() {
  const LocatedTensor* table = runner_.find(Role::token_embedding);
  const EncodedTensor* replaced = options_.replaces && options_.replacement ? options_.replacement(*table) : nullptr;
  for (int batch = 0; batch < runner_.batches(); ++batch) residuals_.push_back(runner_.embed(batch, replaced));
  for (int layer = 0; layer < runner_.spec().layers; ++layer) {
    if (options_.begin_layer) options_.begin_layer(layer);
    run_layer(layer);
  }
  run_head();
}

void LayerWalk::run_layer(int index) {
  RunnableLayer layer = runner_.load(index);
  const std::vector<MapGroup> groups = find_groups(layer);
  if (!options_.replaces) return collect(layer, groups, -1);
  for (size_t phase = 0; phase < groups.size(); ++phase) {
    if (options_.known && options_.known(groups[phase])) {
      options_.resumed(groups[phase]);
      replace(layer, groups[phase].tensors);
    } else {
      collect(layer, groups, static_cast<int>(phase));
    }
  }
  runner_.observer().observe({}, -1, false);
  for (int batch = 0; batch < runner_.batches(); ++batch) step(layer, batch, true);
}

std::vector<MapGroup> LayerWalk::find_groups(RunnableLayer& layer) {
  std::vector<const LocatedTensor*> unseen;
  std::vector<MapGroup> groups = map_groups(runner_, layer, unseen);
  if (!unseen.empty() && options_.unseen) {
    options_.unseen(unseen);
    replace(layer, unseen);
  }
  return groups;
}

// Inputs of the maps of one phase, or with -1 of all phases at once.
void LayerWalk::collect(RunnableLayer& layer, const std::vector<MapGroup>& groups, int phase) {
  const bool all = phase < 0;
  std::vector<Moments> moments(groups.size());
  runner_.observer().observe(
      [&](int at, std::span<const Weight* const> weights, std::span<const float> rows) {
        Moments& sums = moments[static_cast<size_t>(at)];
        if (sums.width() == 0) {
          sums = Moments(weights.front()->cols, options_.full(groups[static_cast<size_t>(at)]));
        }
        sums.add(*runtime_.pool, rows);
      },
      phase, !all);
  for (int batch = 0; batch < runner_.batches(); ++batch) step(layer, batch, all);
  for (size_t at = 0; at < moments.size(); ++at) {
    if (moments[at].width() == 0) continue;
    options_.visit(groups[at], moments[at]);
    replace(layer, groups[at].tensors);
    moments[at] = {};
  }
}

void LayerWalk::replace(RunnableLayer& layer, const std::vector<const LocatedTensor*>& tensors) {
  if (!options_.replaces) return;
  for (const LocatedTensor* tensor : tensors) {
    const EncodedTensor* encoded = options_.replacement(*tensor);
    if (encoded) runner_.replace(layer, *tensor, *encoded);
  }
}

void LayerWalk::step(RunnableLayer& layer, int batch, bool keep) {
  if (options_.check) options_.check();
  runner_.step(layer, batch, residuals_[static_cast<size_t>(batch)], keep);
}

void LayerWalk::run_head() {
  const MapGroup group = head_group(runner_);
  if (options_.known && options_.known(group)) return options_.resumed(group);
  const std::vector<float> norm = read_vector(runner_.spec(), source_.container(), *runner_.find(Role::output_norm));
  Moments moments(runner_.spec().hidden, options_.full(group));
  for (std::vector<float>& residual : residuals_) {
    if (options_.check) options_.check();
    apply_norm(residual, norm, runner_.spec().norm_eps);
    moments.add(*runtime_.pool, residual);
  }
  options_.visit(group, moments);
}

std::vector<MapGroup> map_groups(LayerRunner& runner, RunnableLayer& layer, std::vector<const LocatedTensor*>& unseen) {
  std::vector<MapGroup> groups;
  std::set<const LocatedTensor*> seen;
  runner.observer().observe(
      [&](int, std::span<const Weight* const> weights, std::span<const float>) {
        MapGroup& group = groups.emplace_back();
        group.layer = layer.index;
        for (const Weight* weight : weights) {
          group.tensors.push_back(layer.tensors.at(weight));
          seen.insert(group.tensors.back());
        }
      },
      -1, false);
  runner.trial(layer);
  for (const LocatedTensor& tensor : runner.tensors()) {
    const bool matrix = tensor.layer == layer.index && tensor.row->form == Form::matrix;
    if (matrix && tensor.row->role != Role::router && !seen.contains(&tensor)) unseen.push_back(&tensor);
  }
  return groups;
}

MapGroup head_group(const LayerRunner& runner) {
  const Role role = runner.spec().tied_head ? Role::token_embedding : Role::output;
  return {.layer = -1, .tensors = {runner.find(role)}};
}

}  // namespace autoglm
