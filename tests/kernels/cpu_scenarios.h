// Products and attention as steps of a backend, for the tests and the fuzz target that compare backends.
#pragma once

#include <algorithm>
#include <memory>
#include <numeric>
#include <span>
#include <vector>

#include "cpu_support.h"

namespace autoglm::test {

/// One product: weights of `rows` x `cols`.
struct ProductShape {
  Type type;
  Precision precision;
  int64_t rows, cols;
};

inline StepLimits limits_for(int64_t rows, int64_t widest) {
  StepLimits limits;
  limits.rows = rows;
  limits.widest = widest;
  limits.heads = 1;
  limits.head_dim = 16;
  limits.context = 16;
  return limits;
}

/// The products of the rows of x, `step` of them at a time.
inline std::vector<float> multiply(Machine& machine, const ProductShape& shape, const std::vector<std::byte>& bytes,
                                   const std::vector<float>& x, int64_t step) {
  const int64_t n = static_cast<int64_t>(x.size()) / shape.cols;
  machine.reserve(limits_for(n, std::max(shape.cols, shape.rows)));
  const Weight weight = machine.load(bytes, shape.type, shape.rows, shape.cols, shape.precision);
  std::vector<float> all;
  for (int64_t first = 0; first < n; first += step) {
    const int64_t m = std::min(step, n - first);
    const Buffer in =
        machine.buffer(m, shape.cols, {x.begin() + first * shape.cols, x.begin() + (first + m) * shape.cols});
    Buffer out = machine.buffer(m, shape.rows);
    machine.begin(m);
    const Projection projection{&weight, nullptr, &out};
    machine->project({m, &in, 0, nullptr, {&projection, 1}});
    const std::vector<float> part = machine.read(out);
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

struct AttentionShape {
  int heads = 6, kv_heads = 2, key_dim = 20, value_dim = 12;
  RopeSpec rope{16, false, {1.0f, 0.5f, 0.3f, 0.1f, 0.05f, 0.02f, 0.01f, 0.001f}, 1.0f, {}};  // dims 0: none
  bool norms = false;
  float scale = 0.4f;
  float softcap = 0.0f;
  int window = 0;
  KvType type = KvType::f32;
};

/// What one sequence's tokens bring: q [tokens][heads * key_dim], k [tokens][kv_heads * key_dim], v likewise.
struct AttentionInput {
  std::vector<float> q, k, v;
};

/// One sequence's part of a step: `rows` more of its tokens.
struct Part {
  int sequence;
  int64_t rows;
};

/// Runs the steps and returns each sequence's outputs, in order of its tokens. Blocks of the sequences are mixed.
inline std::vector<std::vector<float>> run_attention(Machine& m, const AttentionShape& s,
                                                     std::span<const AttentionInput> inputs,
                                                     const std::vector<std::vector<Part>>& steps) {
  const size_t sequences = inputs.size();
  std::vector<int64_t> tokens(sequences), past(sequences, 0);
  int64_t all = 0;
  for (size_t i = 0; i < sequences; ++i) {
    tokens[i] = static_cast<int64_t>(inputs[i].q.size()) / (s.heads * s.key_dim);
    all += tokens[i];
  }
  StepLimits limits;
  limits.rows = all;
  limits.widest = s.heads * s.key_dim;
  limits.heads = s.heads;
  limits.head_dim = std::max(s.key_dim, s.value_dim);
  limits.context = *std::max_element(tokens.begin(), tokens.end());
  const int rope = s.rope.dims > 0 ? m->add_rope(s.rope) : -1;
  m.reserve(limits);
  const Norm q_norm{m.buffer(1, s.key_dim, random_values(static_cast<size_t>(s.key_dim), 5)), 1e-6f};
  const Norm k_norm{m.buffer(1, s.key_dim, random_values(static_cast<size_t>(s.key_dim), 6)), 1e-6f};
  const KvLayerSpec layers[] = {{KvLayerSpec::Kind::kv, 1, 4, 4, KvType::bf16},
                                {KvLayerSpec::Kind::kv, s.kv_heads, s.key_dim, s.value_dim, s.type}};
  const auto each = static_cast<int32_t>(limits.context / kKvBlock + 2), count = static_cast<int32_t>(sequences);
  const std::unique_ptr<KvStore> store = m->make_kv(layers, each * count);
  std::vector<std::vector<int32_t>> blocks(sequences);
  for (int32_t i = 0; i < each * count; ++i) blocks[static_cast<size_t>(i % count)].push_back(i);

  std::vector<std::vector<float>> results(sequences);
  for (const std::vector<Part>& step : steps) {
    AttentionInput batch;
    std::vector<int32_t> positions;
    std::vector<KvSegment> segments;
    int64_t rows = 0;
    for (const Part& part : step) {
      const auto i = static_cast<size_t>(part.sequence);
      const auto add = [&](std::vector<float>& to, const std::vector<float>& from, int64_t cols) {
        to.insert(to.end(), from.begin() + past[i] * cols, from.begin() + (past[i] + part.rows) * cols);
      };
      add(batch.q, inputs[i].q, s.heads * s.key_dim);
      add(batch.k, inputs[i].k, s.kv_heads * s.key_dim);
      add(batch.v, inputs[i].v, s.kv_heads * s.value_dim);
      for (int64_t r = 0; r < part.rows; ++r) positions.push_back(static_cast<int32_t>(past[i] + r));
      segments.push_back({blocks[i], past[i], rows, part.rows});
      rows += part.rows;
      past[i] += part.rows;
    }
    if (!s.rope.sections.empty()) {  // height and width differ from time
      const std::vector<int32_t> time = positions;
      for (int32_t p : time) positions.push_back(p / 3);
      for (int32_t p : time) positions.push_back(p % 5);
    }
    Buffer q = m.buffer(rows, s.heads * s.key_dim, batch.q), k = m.buffer(rows, s.kv_heads * s.key_dim, batch.k),
           v = m.buffer(rows, s.kv_heads * s.value_dim, batch.v), out = m.buffer(rows, s.heads * s.value_dim);
    m->begin_step(rows, positions);
    AttentionArgs args{};
    args.rows = rows, args.q = &q, args.k = &k, args.v = &v, args.out = &out;
    if (s.norms) args.q_norm = &q_norm, args.k_norm = &k_norm;
    args.rope = rope;
    args.heads = s.heads, args.kv_heads = s.kv_heads, args.key_dim = s.key_dim, args.value_dim = s.value_dim;
    args.scale = s.scale, args.softcap = s.softcap, args.window = s.window;
    args.kv = {store.get(), 1, segments};
    m->attention(args);
    const std::vector<float> values = m.read(out);
    for (size_t i = 0; i < step.size(); ++i) {
      std::vector<float>& result = results[static_cast<size_t>(step[i].sequence)];
      const auto from = values.begin() + segments[i].row_begin * s.heads * s.value_dim;
      result.insert(result.end(), from, from + step[i].rows * s.heads * s.value_dim);
    }
  }
  return results;
}

struct LatentShape {
  int heads = 5, nope = 32, rope = 8, rank = 64, value = 20;
  Type weights = Type::f32;
  Precision precision = Precision::f32;
  KvType type = KvType::f32;
};

/// q [tokens][heads * (nope + rope)], latent [tokens][rank + rope], and the two weights' bytes.
struct LatentInput {
  std::vector<float> q, latent;
  std::vector<std::byte> k_b, v_b;
};

inline LatentInput random_latent_input(const LatentShape& s, int64_t tokens) {
  return {random_values(static_cast<size_t>(tokens * s.heads * (s.nope + s.rope)), 44),
          random_values(static_cast<size_t>(tokens * (s.rank + s.rope)), 45),
          random_weight(s.weights, s.heads * s.rank, s.nope, 41, 0.3f),
          random_weight(s.weights, s.heads * s.value, s.rank, 42, 0.3f)};
}

/// Latent attention of one sequence, in steps of so many tokens.
inline std::vector<float> run_latent(Machine& m, const LatentShape& s, const LatentInput& input,
                                     const std::vector<int64_t>& steps) {
  const int64_t total = std::accumulate(steps.begin(), steps.end(), int64_t{0});
  const int64_t q_cols = s.heads * (s.nope + s.rope), latent_cols = s.rank + s.rope;
  StepLimits limits;
  limits.rows = total;
  limits.widest = q_cols;
  limits.heads = s.heads;
  limits.head_dim = s.rank + s.rope;
  limits.context = total;
  limits.latent = true;
  const int rope = m->add_rope({s.rope, true, {1.0f, 0.3f, 0.1f, 0.01f}, 1.0f, {}});
  m.reserve(limits);
  const Weight k_b = m.load(input.k_b, s.weights, s.rank, s.nope, s.precision, s.heads);
  const Weight v_b = m.load(input.v_b, s.weights, s.value, s.rank, s.precision, s.heads);
  const Norm norm{m.buffer(1, s.rank, random_values(static_cast<size_t>(s.rank), 43)), 1e-5f};
  const KvLayerSpec layer{KvLayerSpec::Kind::latent, 1, s.rank + s.rope, s.rank, s.type};
  const auto count = static_cast<int32_t>(total / kKvBlock + 2);
  const std::unique_ptr<KvStore> store = m->make_kv({&layer, 1}, count);
  std::vector<int32_t> blocks;
  for (int32_t i = 0; i < count; ++i) blocks.push_back(count - 1 - i);
  std::vector<float> result;
  int64_t past = 0;
  for (int64_t rows : steps) {
    const auto rows_of = [&](const std::vector<float>& from, int64_t cols) {
      return m.buffer(rows, cols, {from.begin() + past * cols, from.begin() + (past + rows) * cols});
    };
    Buffer q = rows_of(input.q, q_cols), latent = rows_of(input.latent, latent_cols);
    Buffer out = m.buffer(rows, s.heads * s.value);
    m.begin(rows, past);
    const KvSegment segment{blocks, past, 0, rows};
    LatentAttentionArgs args{};
    args.rows = rows, args.q = &q, args.latent = &latent, args.latent_norm = &norm, args.k_b = &k_b, args.v_b = &v_b;
    args.rope = rope;
    args.heads = s.heads, args.nope = s.nope, args.rope_dims = s.rope, args.kv_rank = s.rank, args.value_dim = s.value;
    args.scale = 0.3f;
    args.kv = {store.get(), 0, {&segment, 1}};
    args.out = &out;
    m->latent_attention(args);
    const std::vector<float> values = m.read(out);
    result.insert(result.end(), values.begin(), values.end());
    past += rows;
  }
  return result;
}

}  // namespace autoglm::test
