#include "compress/probe.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "compress/sums.h"

namespace autoglm {
namespace {

constexpr size_t kWindows = 8;
constexpr size_t kWindowTokens = 64;
constexpr int64_t kScored = 32;  // last tokens of each window whose logits are compared

std::vector<std::vector<int32_t>> some_of(std::span<const std::vector<int32_t>> windows) {
  AUTOGLM_CHECK(!windows.empty(), "sensitivity needs text");
  std::vector<std::vector<int32_t>> out;
  const size_t count = std::min(windows.size(), kWindows);
  for (size_t i = 0; i < count; ++i) {
    const auto& window = windows[i * windows.size() / count];
    const std::span<const int32_t> first = std::span(window).first(std::min(window.size(), kWindowTokens));
    out.emplace_back(first.begin(), first.end());
  }
  return out;
}

}  // namespace

int64_t Probe::scored_of(int64_t tokens) { return std::min(kScored, tokens / 2 + 1); }

Probe::Probe(const ModelSource& source, Runtime& runtime, std::span<const std::vector<int32_t>> windows,
             std::function<void()> check, int64_t room)
    : source_(source),
      runtime_(runtime),
      check_(std::move(check)),
      room_(room),
      windows_(some_of(windows)),
      runner_(source, runtime, windows_) {
  AUTOGLM_CHECK(runner_.batches() == 1, "the windows of a probe are one batch");
  int32_t begin = 0;
  for (const auto& window : windows_) {
    const auto rows = static_cast<int32_t>(std::ssize(window));
    const auto scored = static_cast<int32_t>(scored_of(rows));
    for (int32_t i = 0; i < rows; ++i) {
      positions_.push_back(i);
      if (i >= rows - scored) scored_.push_back(begin + i);
    }
    begin += rows;
  }
}

void Probe::step(RunnableLayer& layer, std::vector<float>& rows) {
  if (check_) check_();
  runner_.step(layer, 0, rows, true);
}

void Probe::baseline() {
  const ArchSpec& spec = runner_.spec();
  Observer& observer = runner_.observer();
  base_ = runner_.embed(0, nullptr);
  groups_.push_back(
      {.maps = {.layer = -1, .tensors = {runner_.find(Role::token_embedding)}}, .importance = {}, .coarse = {}});
  std::vector<float> rows = base_;
  for (int index = 0; index < spec.layers; ++index) {
    RunnableLayer layer = runner_.load(index);
    std::vector<const LocatedTensor*> unseen;
    std::vector<MapGroup> maps = map_groups(runner_, layer, unseen);
    observer.observe(
        [&](int phase, std::span<const Weight* const> read, std::span<const float> x) {
          Moments moments(read.front()->cols, false);
          moments.add(*runtime_.pool, x);
          groups_.push_back({.maps = maps[static_cast<size_t>(phase)],
                             .importance = moments.diagonal(),
                             .coarse = coarse_rounding(x, moments.width())});
        },
        -1, false);
    step(layer, rows);
  }
  observer.observe({}, -1, false);

  const std::vector<float> norm = read_vector(spec, source_.container(), *runner_.find(Role::output_norm));
  output_norm_ = {.weight = observer.make_buffer(1, spec.hidden), .eps = spec.norm_eps};
  observer.write(output_norm_.weight, 0, norm);
  const auto scored = std::ssize(scored_);
  activations_.x = observer.make_buffer(runner_.rows(0), spec.hidden);
  activations_.logits = observer.make_buffer(scored, spec.vocabulary);
  logits_.resize(static_cast<size_t>(scored * spec.vocabulary));
  load_head(nullptr);
  read_logits(rows);
  expected_ = logits_;
  information_.resize(scored_.size());
  runtime_.pool->parallel_for(scored, 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      float* row = expected_.data() + r * spec.vocabulary;
      const double mass = log_sum_exp(row, spec.vocabulary);
      double sum = 0;
      for (int64_t i = 0; i < spec.vocabulary; ++i) {
        const double log_p = static_cast<double>(row[i]) - mass;
        const double p = std::exp(log_p);
        sum += p * log_p;
        row[i] = static_cast<float>(p);
      }
      information_[static_cast<size_t>(r)] = sum;
    }
  });
  apply_norm(rows, norm, spec.norm_eps);
  Moments moments(spec.hidden, false);
  moments.add(*runtime_.pool, rows);
  if (!spec.tied_head) {
    groups_.push_back({.maps = head_group(runner_), .importance = {}, .coarse = {}});
    groups_.back().maps.layer = spec.layers;
  }
  ProbeGroup& head = spec.tied_head ? groups_.front() : groups_.back();
  head.importance = moments.diagonal();
  head.coarse = coarse_rounding(rows, spec.hidden);
}

void Probe::load_head(const EncodedTensor* encoded) {
  const LocatedTensor& tensor = *head_group(runner_).tensors.front();
  head_ = {};
  head_ = encoded ? runner_.load_matrix(tensor, encoded->type, encoded->bytes) : runner_.load_matrix(tensor);
}

void Probe::read_logits(std::span<const float> rows) {
  Observer& observer = runner_.observer();
  observer.begin_step(std::ssize(positions_), positions_);
  observer.write(activations_.x, 0, rows);
  observer.head({.x = &activations_.x,
                 .rows = scored_,
                 .norm = &output_norm_,
                 .head = &head_.weight,
                 .softcap = runner_.spec().logit_softcap,
                 .logits = &activations_.logits});
  observer.read(activations_.logits, 0, logits_);
}

// sum p (log p - log q) with log q = z - log sum exp z, of the logits that were read last.
double Probe::divergence() {
  const int64_t width = runner_.spec().vocabulary;
  std::vector<double> of_row(scored_.size());
  runtime_.pool->parallel_for(std::ssize(scored_), 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* row = logits_.data() + r * width;
      of_row[static_cast<size_t>(r)] = information_[static_cast<size_t>(r)] + log_sum_exp(row, width) -
                                       dot(expected_.data() + r * width, row, width);
    }
  });
  const double mean = std::accumulate(of_row.begin(), of_row.end(), 0.0) / static_cast<double>(of_row.size());
  if (!std::isfinite(mean)) {
    fail(Code::numeric, "the model computed a logit that is not a finite number", "check its hash");
  }
  return std::max(mean, 0.0);
}

// How many of the wanted groups go together: whole layers, as many as there is room for.
size_t Probe::round_of(std::span<const size_t> wanted) const {
  const auto bytes = std::ssize(base_) * static_cast<int64_t>(sizeof(float));
  const auto most = static_cast<size_t>(std::max<int64_t>(1, room_ / bytes));
  size_t end = std::min(wanted.size(), most);
  const auto layer = [&](size_t i) { return groups_[wanted[i]].maps.layer; };
  while (end < wanted.size() && end > 1 && layer(end - 1) == layer(end)) --end;
  while (end < wanted.size() && layer(end - 1) == layer(end)) ++end;  // one layer alone has more: so be it
  return end;
}

Probe::Variant Probe::altered(RunnableLayer& layer, size_t group, const Encode& encode,
                              const std::vector<float>& before) {
  const ProbeGroup& of = groups_[group];
  std::vector<EncodedTensor> encoded;  // outlives what reads it
  for (const LocatedTensor* tensor : of.maps.tensors) {
    encoded.push_back(encode(*tensor, of.importance));
    runner_.replace(layer, *tensor, encoded.back());
  }
  Variant variant{.group = group, .rows = before};
  step(layer, variant.rows);
  for (const LocatedTensor* tensor : of.maps.tensors) runner_.restore(layer, *tensor);
  return variant;
}

void Probe::measure_round(std::span<const size_t> wanted, const Encode& encode, std::vector<Variant>& variants) {
  const int last = groups_[wanted.back()].maps.layer;
  for (int index = base_layer_; index < runner_.spec().layers; ++index) {
    RunnableLayer layer = runner_.load(index);
    for (Variant& variant : variants) step(layer, variant.rows);
    for (const size_t group : wanted) {
      if (groups_[group].maps.layer == index) variants.push_back(altered(layer, group, encode, base_));
    }
    if (index > last) continue;
    step(layer, base_);
    base_layer_ = index + 1;
  }
}

void Probe::measure(std::span<const size_t> wanted, const Encode& encode,
                    const std::function<void(size_t group, double divergence)>& done) {
  const int layers = runner_.spec().layers;
  while (!wanted.empty()) {
    const std::span<const size_t> round = wanted.first(round_of(wanted));
    wanted = wanted.subspan(round.size());
    std::vector<Variant> variants;
    EncodedTensor special;  // table or head
    const auto encode_special = [&](size_t group) {
      special = encode(*groups_[group].maps.tensors.front(), groups_[group].importance);
    };
    if (groups_[round.front()].maps.layer < 0) {
      encode_special(round.front());
      variants.push_back({.group = round.front(), .rows = runner_.embed(0, &special)});
    }
    measure_round(round, encode, variants);
    const auto tell = [&](const Variant& variant) {
      read_logits(variant.rows);
      done(variant.group, divergence());
    };
    for (const Variant& variant : variants) {
      const bool own_head = groups_[variant.group].maps.layer < 0 && runner_.spec().tied_head;
      if (own_head) load_head(&special);
      tell(variant);
      if (own_head) load_head(nullptr);
    }
    if (groups_[round.back()].maps.layer == layers) {
      encode_special(round.back());
      load_head(&special);
      tell({.group = round.back(), .rows = base_});
      load_head(nullptr);
    }
  }
}

}  // namespace autoglm
