// Products and attention as steps of a backend, for the tests and the fuzz target that compare backends.
#pragma once

#include <algorithm>
#include <memory>
#include <numeric>
#include <span>
#include <string_view>
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

/// The rows of a step, of several sequences one after the other.
struct Gathered {
  const std::vector<Part>& step;
  std::vector<int32_t> positions;
  std::vector<KvSegment> segments;
  int64_t rows = 0;

  /// `past`: what each sequence has; counted on.
  Gathered(const std::vector<Part>& parts, const std::vector<std::vector<int32_t>>& blocks, std::vector<int64_t>& past)
      : step(parts) {
    for (const Part& part : step) {
      const auto i = static_cast<size_t>(part.sequence);
      for (int64_t r = 0; r < part.rows; ++r) positions.push_back(static_cast<int32_t>(past[i] + r));
      segments.push_back({blocks[i], past[i], rows, part.rows});
      rows += part.rows;
      past[i] += part.rows;
    }
  }

  /// The rows of one of the inputs' matrices, of `cols` columns.
  template <typename Input>
  std::vector<float> values(std::span<const Input> inputs, std::vector<float> Input::* member, int64_t cols) const {
    std::vector<float> all;
    for (size_t i = 0; i < step.size(); ++i) {
      const auto from = (inputs[static_cast<size_t>(step[i].sequence)].*member).begin() + segments[i].past * cols;
      all.insert(all.end(), from, from + step[i].rows * cols);
    }
    return all;
  }

  /// Each sequence's rows to its results.
  void hand_out(const std::vector<float>& out, int64_t cols, std::vector<std::vector<float>>& results) const {
    for (size_t i = 0; i < step.size(); ++i) {
      const auto from = out.begin() + segments[i].row_begin * cols;
      std::vector<float>& result = results[static_cast<size_t>(step[i].sequence)];
      result.insert(result.end(), from, from + step[i].rows * cols);
    }
  }
};

/// How far attention on an ISA may be from the reference, in units of the root mean square.
struct AttentionTolerance {
  double largest, rms;
};

/// f32: scores add at most 64 products, exp() is good to 2e-7 and sees a score of up to 40 whose own error is 1e-6 or
/// so; outputs add 600 values. Other types: the stored keys and values are rounded alike on both sides, but rope and
/// norms in float32 may move a value across a rounding border: one step of 2^-8 or 1/127 of its head in one column.
/// A step of q4 is larger, but values that lie so near to a border are as few.
/// amx rounds queries, keys, values and weights to bf16: four errors of 2^-8 at most and 1.6e-3 by root mean square,
/// 3.3e-3 together; the scores, of up to 40, multiply the first two. Single outputs that hang on two close scores
/// differ most. Its queries are not rounded to int8 before, as those of the reference and of the other ISAs are for q8:
/// that alone moves an output by up to 0.21 here.
inline AttentionTolerance attention_tolerance(std::string_view isa, KvType type) {
  if (isa == "amx" && type == KvType::bf16) return {1e-1, 1e-2};
  if (isa == "amx" && type == KvType::q8) return {3e-1, 3e-2};
  const double one = type == KvType::f32 ? 1e-4 : 2e-2;
  return {one, one};
}

/// Runs the steps and returns each sequence's outputs, in order of its tokens. Blocks of the sequences are mixed.
/// `drop`: blocks that no later token's window reads are given up before each step, and what was in them is not finite.
inline std::vector<std::vector<float>> run_attention(Machine& m, const AttentionShape& s,
                                                     std::span<const AttentionInput> inputs,
                                                     const std::vector<std::vector<Part>>& steps, bool drop = false) {
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

  const std::vector<std::byte> spoilt(static_cast<size_t>(store->block_bytes()), std::byte{0xff});
  std::vector<std::vector<float>> results(sequences);
  for (const std::vector<Part>& step : steps) {
    for (size_t i = 0; drop && i < sequences; ++i) {
      for (int64_t b = 0; (b + 1) * kKvBlock <= past[i] - s.window + 1; ++b) {
        int32_t& block = blocks[i][static_cast<size_t>(b)];
        if (block >= 0) store->import_block(block, spoilt);
        block = -1;
      }
    }
    const Gathered batch(step, blocks, past);
    const int64_t rows = batch.rows;
    std::vector<int32_t> positions = batch.positions;
    if (!s.rope.sections.empty()) {  // height and width differ from time
      const std::vector<int32_t> time = positions;
      for (int32_t p : time) positions.push_back(p / 3);
      for (int32_t p : time) positions.push_back(p % 5);
    }
    const auto buffer_of = [&](std::vector<float> AttentionInput::* values, int64_t cols) {
      return m.buffer(rows, cols, batch.values(inputs, values, cols));
    };
    Buffer q = buffer_of(&AttentionInput::q, s.heads * s.key_dim),
           k = buffer_of(&AttentionInput::k, s.kv_heads * s.key_dim),
           v = buffer_of(&AttentionInput::v, s.kv_heads * s.value_dim), out = m.buffer(rows, s.heads * s.value_dim);
    m->begin_step(rows, positions);
    AttentionArgs args{};
    args.rows = rows, args.q = &q, args.k = &k, args.v = &v, args.out = &out;
    if (s.norms) args.q_norm = &q_norm, args.k_norm = &k_norm;
    args.rope = rope;
    args.heads = s.heads, args.kv_heads = s.kv_heads, args.key_dim = s.key_dim, args.value_dim = s.value_dim;
    args.scale = s.scale, args.softcap = s.softcap, args.window = s.window;
    args.kv = {store.get(), 1, batch.segments};
    m->attention(args);
    batch.hand_out(m.read(out), s.heads * s.value_dim, results);
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

inline LatentInput random_latent_input(const LatentShape& s, int64_t tokens, uint32_t seed = 44) {
  return {random_values(static_cast<size_t>(tokens * s.heads * (s.nope + s.rope)), seed),
          random_values(static_cast<size_t>(tokens * (s.rank + s.rope)), seed + 1),
          random_weight(s.weights, s.heads * s.rank, s.nope, 41, 0.3f),
          random_weight(s.weights, s.heads * s.value, s.rank, 42, 0.3f)};
}

/// Latent attention of several sequences, as run_attention(). The weights are those of the first.
inline std::vector<std::vector<float>> run_latent(Machine& m, const LatentShape& s, std::span<const LatentInput> inputs,
                                                  const std::vector<std::vector<Part>>& steps) {
  const int64_t q_cols = s.heads * (s.nope + s.rope), latent_cols = s.rank + s.rope;
  const size_t sequences = inputs.size();
  std::vector<int64_t> past(sequences, 0);
  int64_t all = 0, longest = 0;
  for (const LatentInput& input : inputs) {
    all += std::ssize(input.latent) / latent_cols;
    longest = std::max(longest, std::ssize(input.latent) / latent_cols);
  }
  StepLimits limits;
  limits.rows = all;
  limits.widest = q_cols;
  limits.heads = s.heads;
  limits.head_dim = s.rank + s.rope;
  limits.context = longest;
  limits.latent = true;
  const int rope = m->add_rope({s.rope, true, {1.0f, 0.3f, 0.1f, 0.01f}, 1.0f, {}});
  m.reserve(limits);
  const Weight k_b = m.load(inputs[0].k_b, s.weights, s.rank, s.nope, s.precision, s.heads);
  const Weight v_b = m.load(inputs[0].v_b, s.weights, s.value, s.rank, s.precision, s.heads);
  const Norm norm{m.buffer(1, s.rank, random_values(static_cast<size_t>(s.rank), 43)), 1e-5f};
  const KvLayerSpec layer{KvLayerSpec::Kind::latent, 1, s.rank + s.rope, s.rank, s.type};
  const auto each = static_cast<int32_t>(longest / kKvBlock + 2), count = static_cast<int32_t>(sequences);
  const std::unique_ptr<KvStore> store = m->make_kv({&layer, 1}, each * count);
  std::vector<std::vector<int32_t>> blocks(sequences);
  for (int32_t i = each * count; i-- > 0;) blocks[static_cast<size_t>(i % count)].push_back(i);
  std::vector<std::vector<float>> results(sequences);
  for (const std::vector<Part>& step : steps) {
    const Gathered batch(step, blocks, past);
    const int64_t rows = batch.rows;
    Buffer q = m.buffer(rows, q_cols, batch.values(inputs, &LatentInput::q, q_cols)),
           latent = m.buffer(rows, latent_cols, batch.values(inputs, &LatentInput::latent, latent_cols)),
           out = m.buffer(rows, s.heads * s.value);
    m->begin_step(rows, batch.positions);
    LatentAttentionArgs args{};
    args.rows = rows, args.q = &q, args.latent = &latent, args.latent_norm = &norm, args.k_b = &k_b, args.v_b = &v_b;
    args.rope = rope;
    args.heads = s.heads, args.nope = s.nope, args.rope_dims = s.rope, args.kv_rank = s.rank, args.value_dim = s.value;
    args.scale = 0.3f;
    args.kv = {store.get(), 0, batch.segments};
    args.out = &out;
    m->latent_attention(args);
    batch.hand_out(m.read(out), s.heads * s.value, results);
  }
  return results;
}

/// Of one sequence, in steps of so many tokens.
inline std::vector<float> run_latent(Machine& m, const LatentShape& s, const LatentInput& input,
                                     const std::vector<int64_t>& steps) {
  std::vector<std::vector<Part>> parts;
  for (const int64_t rows : steps) parts.push_back({{0, rows}});
  return run_latent(m, s, {&input, 1}, parts)[0];
}

}  // namespace autoglm::test
