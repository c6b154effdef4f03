// The CPU backend against the reference: products of every type, the head, gate and up, experts, and attention over
// every cache, on every instruction set that this CPU has, with weights and activations that no sane file holds.
// Whatever they are, nothing crashes; where the reference is finite the result lies within a derived bound
// (kernel_bounds.h); what is damaged stays visible; and neither the number of rows in a step nor that of threads
// changes a bit.
#include <bit>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "kernel_bounds.h"

namespace autoglm::fuzz {
namespace {

using test::Machine;

/// The input as a row of choices; zeros when it is used up. Bulk data comes from a generator that it seeds.
class Choices {
 public:
  Choices(const uint8_t* data, size_t size) : data_(data), left_(size) { generator_.seed(word()); }
  uint8_t byte() {
    if (left_ == 0) return 0;
    --left_;
    return *data_++;
  }
  int below(int n) { return n <= 256 ? byte() % n : (byte() | byte() << 8) % n; }
  uint32_t word() {
    uint32_t word = 0;
    for (int i = 0; i < 4; ++i) word = word << 8 | byte();
    return word;
  }
  bool empty() const { return left_ == 0; }
  uint32_t random() { return static_cast<uint32_t>(generator_()); }
  float normal() {
    float sum = 0.0f;
    for (int i = 0; i < 4; ++i) sum += static_cast<float>(random() >> 8) / 16777216.0f - 0.5f;
    return sum * 1.732f;
  }

 private:
  const uint8_t* data_;
  size_t left_;
  std::mt19937 generator_;
};

/// A row of float32 of one kind.
void fill_floats(Choices& choices, int kind, float* row, int64_t n) {
  for (int64_t i = 0; i < n; ++i) row[i] = choices.normal();
  const auto scale = [&](float by) {
    for (int64_t i = 0; i < n; ++i) row[i] *= by;
  };
  const auto one = [&](float value) { row[choices.random() % static_cast<uint64_t>(n)] = value; };
  switch (kind) {
    case 1:
      return scale(0.0f);
    case 2:
      return scale(1e18f);
    case 3:
      return scale(1e-18f);
    case 4:
      return scale(1e-37f);  // some are denormal
    case 5:
      return scale(1e-42f);  // all are
    case 6:
      return scale(1e37f);  // sums overflow
    case 7:
      return one(std::numeric_limits<float>::quiet_NaN());
    case 8:
      return one(std::numeric_limits<float>::infinity());
    case 9:
      return one(-std::numeric_limits<float>::infinity());
    case 10:
      return one(3e4f);
    case 11:  // codes of +-127 only
      for (int64_t i = 0; i < n; ++i) row[i] = row[i] < 0.0f ? -2.5f : 2.5f;
      return;
    case 12:  // every exponent
      for (int64_t i = 0; i < n; ++i) row[i] = std::ldexp(row[i], static_cast<int>(choices.random() % 250) - 125);
      return;
    case 13:  // every bit pattern
      for (int64_t i = 0; i < n; ++i) row[i] = std::bit_cast<float>(choices.random());
      return;
    case 14:
      return one(1e-40f);
    default:
      return;
  }
}
constexpr int kFloatKinds = 16;

std::vector<float> floats(Choices& choices, int64_t rows, int64_t cols) {
  std::vector<float> values(static_cast<size_t>(rows * cols));
  const int usual = choices.below(kFloatKinds);
  for (int64_t r = 0; r < rows; ++r) {
    const int kind = choices.empty() ? usual : choices.below(kFloatKinds);
    fill_floats(choices, kind, values.data() + r * cols, cols);
  }
  return values;
}

/// A row of a weight: encoded floats of some kind, or blocks of any bytes.
void fill_weight_row(Choices& choices, Type type, int kind, std::byte* row, int64_t cols) {
  const TypeInfo& t = info(type);
  const int64_t size = row_bytes(type, cols);
  if (kind < kFloatKinds && t.encode != nullptr) {
    std::vector<float> values(static_cast<size_t>(cols));
    fill_floats(choices, kind, values.data(), cols);
    t.encode(values.data(), row, cols);
    return;
  }
  for (int64_t i = 0; i < size; ++i) row[i] = static_cast<std::byte>(choices.random());
  const int fill = kind - kFloatKinds;  // 0: as they are
  if (fill == 1) std::fill_n(row, size, std::byte{0});
  if (fill == 2) std::fill_n(row, size, std::byte{0xff});
  if (fill >= 3 && t.quantized) {  // any codes, or only the outermost ones, with scales of one kind
    static constexpr uint16_t scales[] = {0x0001, 0x03ff, 0x0400, 0x7bff, 0xfbff, 0x3c00};
    const uint16_t scale = scales[fill % 6];
    for (int64_t at = 0; at < size; at += t.block_bytes) {
      if (fill >= 9) std::fill_n(row + at, t.block_bytes, fill % 2 == 0 ? std::byte{0x0f} : std::byte{0x80});
      // Types keep their float16 scales at either end of the block.
      for (const int64_t place : {at, at + 2, at + t.block_bytes - 2, at + t.block_bytes - 4}) {
        if (t.block_bytes >= 4) std::memcpy(row + place, &scale, 2);
      }
    }
  }
}
constexpr int kWeightKinds = kFloatKinds + 15;

std::vector<std::byte> weight_bytes(Choices& choices, const test::ProductShape& shape) {
  const int64_t size = row_bytes(shape.type, shape.cols);
  std::vector<std::byte> bytes(static_cast<size_t>(shape.rows * size));
  const int usual = choices.below(kWeightKinds);
  const bool mixed = choices.below(2) == 1;
  for (int64_t r = 0; r < shape.rows; ++r) {
    const int kind = mixed ? static_cast<int>(choices.random() % kWeightKinds) : usual;
    fill_weight_row(choices, shape.type, kind, bytes.data() + r * size, shape.cols);
  }
  return bytes;
}

/// NaN is NaN, whatever its bits; everything else bit for bit.
bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](float x, float y) {
    return (std::isnan(x) && std::isnan(y)) || std::bit_cast<uint32_t>(x) == std::bit_cast<uint32_t>(y);
  });
}

void check_same(const std::vector<float>& got, const std::vector<float>& expected, const std::string& what) {
  if (same_bits(got, expected)) return;
  for (size_t i = 0; i < expected.size(); ++i) {
    if (i < got.size() && same_bits({got[i]}, {expected[i]})) continue;
    std::fprintf(stderr, "%s: value %zu is %a, not %a\n", what.c_str(), i,
                 static_cast<double>(i < got.size() ? got[i] : 0), static_cast<double>(expected[i]));
    break;
  }
  AUTOGLM_CHECK(false, "the same rows, other bits");
}

void check_close(float got, float expected, const Bound& bound, bool overflow_shows, const std::string& what,
                 size_t i) {
  bool right = false;
  if (bound.damaged) {
    right = !std::isfinite(got);
  } else if (bound.may_overflow) {  // in a product an overflow stays one; a score's may lose a token
    right = !overflow_shows || !std::isfinite(got) || !std::isfinite(expected) ||
            std::abs(static_cast<double>(got) - expected) <= bound.error;
  } else {
    right = std::isfinite(got) && std::abs(static_cast<double>(got) - expected) <= bound.error;
  }
  if (right) return;
  std::fprintf(stderr, "%s: value %zu is %g, the reference's %g, bound %g%s\n", what.c_str(), i,
               static_cast<double>(got), static_cast<double>(expected), bound.error, bound.damaged ? ", damaged" : "");
  AUTOGLM_CHECK(false, "a kernel's result is not the reference's");
}

constexpr Type kTypes[] = {Type::q4_0, Type::q4_1, Type::q5_0, Type::q5_1, Type::q8_0,   Type::q2_k,
                           Type::q3_k, Type::q4_k, Type::q5_k, Type::q6_k, Type::iq4_nl, Type::iq4_xs,
                           Type::f32,  Type::f16,  Type::bf16, Type::q8_a};

test::ProductShape product_shape(Choices& choices) {
  test::ProductShape shape{};
  shape.type = kTypes[choices.below(std::size(kTypes))];
  shape.precision = choices.below(4) == 3 ? Precision::f32 : Precision::automatic;
  shape.rows = 1 + choices.below(70);
  const int block = info(shape.type).block_columns;
  const int which = choices.below(8);
  constexpr int blocks32[] = {1, 2, 3, 7, 18, 28, 71, 428};  // 576, 896 and 13,696 columns among them
  constexpr int blocks256[] = {1, 2, 3, 1, 4, 2, 9, 53};
  if (block == 1) {
    shape.cols = which == 7 ? 13696 : 1 + choices.below(900);
  } else {
    shape.cols = block == 32 ? 32 * blocks32[which] : 256 * blocks256[which];
  }
  return shape;
}

void products(Choices& choices) {
  test::ProductShape shape = product_shape(choices);
  int64_t tokens = 1 + choices.below(40);
  constexpr int64_t kMost = 1'000'000;  // multiply-adds of the reference
  tokens = std::clamp<int64_t>(kMost / shape.cols / shape.rows, 1, tokens);
  const int64_t step = 1 + choices.below(static_cast<int>(tokens));
  const int threads = 1 + choices.below(3);
  const std::vector<std::byte> bytes = weight_bytes(choices, shape);
  const std::vector<float> x = floats(choices, tokens, shape.cols);

  Machine reference("ref");
  const std::vector<float> expected = test::multiply(reference, shape, bytes, x, tokens);
  const ProductBounds bounds(shape, bytes);
  std::vector<Bound> bound;
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t r = 0; r < shape.rows; ++r) bound.push_back(bounds.of(r, x.data() + t * shape.cols));
  }
  std::vector<float> avx512;
  for (const std::string& isa : test::isas_under_test()) {
    const std::string what = isa + " " + std::string(info(shape.type).name) + " " + std::to_string(shape.rows) + "x" +
                             std::to_string(shape.cols) + ", " + std::to_string(tokens) + " rows";
    Machine one(isa), other(isa, threads), single(isa);
    const std::vector<float> whole = test::multiply(one, shape, bytes, x, tokens);
    for (size_t i = 0; i < whole.size(); ++i) check_close(whole[i], expected[i], bound[i], true, what, i);
    check_same(test::multiply(other, shape, bytes, x, step), whole, what + " by " + std::to_string(step));
    check_same(test::multiply(single, shape, bytes, x, 1), whole, what + " one by one");
    // AMX takes over where rows are many: its user gets AVX-512's bits.
    if (isa == "amx") avx512 = whole;
    if (isa == "avx512" && !avx512.empty()) check_same(avx512, whole, what + " on amx");
  }
}

/// Rows [first, first + m) of x as a buffer.
Buffer rows_of(Machine& m, const std::vector<float>& x, int64_t cols, int64_t first, int64_t rows) {
  return m.buffer(rows, cols, {x.begin() + first * cols, x.begin() + (first + rows) * cols});
}

/// step(first, rows) -> their results, for all rows in order.
template <typename F>
std::vector<float> by_steps(int64_t rows, int64_t step, F&& f) {
  std::vector<float> all;
  for (int64_t first = 0; first < rows; first += step) {
    const std::vector<float> part = f(first, std::min(step, rows - first));
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

int64_t some_tokens(Choices& choices, const test::ProductShape& shape, int64_t products) {
  constexpr int64_t kMost = 1'000'000;  // multiply-adds of the reference
  return std::clamp<int64_t>(kMost / products / shape.cols / shape.rows, 1, 1 + choices.below(40));
}

void head(Choices& choices) {
  const test::ProductShape shape = product_shape(choices);
  const int64_t tokens = some_tokens(choices, shape, 2), step = 1 + choices.below(static_cast<int>(tokens));
  const int threads = 1 + choices.below(3);
  const float softcap = choices.below(3) == 2 ? 5.0f : 0.0f;
  const std::vector<std::byte> bytes = weight_bytes(choices, shape);
  const std::vector<float> x = floats(choices, tokens, shape.cols);
  const auto run = [&](Machine& m, int64_t each) {
    m.reserve(test::limits_for(tokens, std::max(shape.cols, shape.rows)));
    const Weight weight = m.load(bytes, shape.type, shape.rows, shape.cols, shape.precision);
    return by_steps(tokens, each, [&](int64_t first, int64_t rows) {
      const Buffer in = rows_of(m, x, shape.cols, first, rows);
      Buffer logits = m.buffer(rows, shape.rows);
      std::vector<int32_t> wanted(static_cast<size_t>(rows));
      for (size_t i = 0; i < wanted.size(); ++i) wanted[i] = static_cast<int32_t>(i);
      m.begin(rows);
      m->head({&in, wanted, nullptr, &weight, softcap, &logits, nullptr});
      return m.read(logits);
    });
  };
  Machine reference("ref");
  const std::vector<float> expected = run(reference, tokens);
  const ProductBounds bounds(shape, bytes);
  for (const std::string& isa : test::isas_under_test()) {
    const std::string what = isa + " head " + std::string(info(shape.type).name) + " " + std::to_string(shape.rows) +
                             "x" + std::to_string(shape.cols);
    Machine one(isa), other(isa, threads), single(isa);
    const std::vector<float> whole = run(one, tokens);
    for (int64_t i = 0; i < tokens * shape.rows; ++i) {
      Bound bound = bounds.of_head(i % shape.rows, x.data() + i / shape.rows * shape.cols);
      if (softcap > 0.0f) {  // the cap of an infinite value is finite
        bound.error += 4e-7 * softcap;
        bound.may_overflow = bound.may_overflow || bound.damaged;
        bound.damaged = false;
      }
      const auto at = static_cast<size_t>(i);
      check_close(whole[at], expected[at], bound, softcap == 0.0f, what, at);
    }
    check_same(run(other, step), whole, what + " by " + std::to_string(step));
    check_same(run(single, 1), whole, what + " one by one");
  }
}

void gate_up(Choices& choices) {
  const test::ProductShape shape = product_shape(choices);
  test::ProductShape other_shape = shape;  // of another type, where its blocks allow that
  const Type type = kTypes[choices.below(std::size(kTypes))];
  if (shape.cols % info(type).block_columns == 0) other_shape.type = type;
  const int64_t tokens = some_tokens(choices, shape, 2), step = 1 + choices.below(static_cast<int>(tokens));
  const int threads = 1 + choices.below(3);
  const Activation activation = choices.below(2) == 0 ? Activation::silu : Activation::gelu_tanh;
  const std::vector<std::byte> gate_bytes = weight_bytes(choices, shape);
  const std::vector<std::byte> up_bytes = weight_bytes(choices, other_shape);
  const std::vector<float> x = floats(choices, tokens, shape.cols);
  const auto run = [&](Machine& m, int64_t each) {
    m.reserve(test::limits_for(tokens, std::max(shape.cols, shape.rows)));
    const Weight gate = m.load(gate_bytes, shape.type, shape.rows, shape.cols, shape.precision);
    const Weight up = m.load(up_bytes, other_shape.type, shape.rows, shape.cols, shape.precision);
    return by_steps(tokens, each, [&](int64_t first, int64_t rows) {
      const Buffer in = rows_of(m, x, shape.cols, first, rows);
      Buffer out = m.buffer(rows, shape.rows);
      m.begin(rows);
      m->gate_up({rows, &in, nullptr, &gate, &up, nullptr, nullptr, activation, &out});
      return m.read(out);
    });
  };
  Machine reference("ref"), of_gate("ref"), of_up("ref");
  const std::vector<float> expected = run(reference, tokens);
  const std::vector<float> gates = test::multiply(of_gate, shape, gate_bytes, x, tokens);
  const std::vector<float> ups = test::multiply(of_up, other_shape, up_bytes, x, tokens);
  const ProductBounds gate_bounds(shape, gate_bytes), up_bounds(other_shape, up_bytes);
  for (const std::string& isa : test::isas_under_test()) {
    const std::string what = isa + " gate_up " + std::string(info(shape.type).name) + " " +
                             std::string(info(other_shape.type).name) + " " + std::to_string(shape.rows) + "x" +
                             std::to_string(shape.cols);
    Machine one(isa), other(isa, threads), single(isa);
    const std::vector<float> whole = run(one, tokens);
    for (int64_t i = 0; i < tokens * shape.rows; ++i) {
      const float* row = x.data() + i / shape.rows * shape.cols;
      const auto at = static_cast<size_t>(i);
      const Bound bound =
          gated_bound(gates[at], gate_bounds.of(i % shape.rows, row), ups[at], up_bounds.of(i % shape.rows, row));
      check_close(whole[at], expected[at], bound, false, what, at);
    }
    check_same(run(other, step), whole, what + " by " + std::to_string(step));
    check_same(run(single, 1), whole, what + " one by one");
  }
}

/// A choice among experts may fall either way where their scores nearly agree: only tame values with all experts used
/// are compared with the reference, with the tolerance of its tests; bits are compared for all.
void experts(Choices& choices) {
  RouterSpec spec;
  constexpr int counts[] = {1, 2, 5, 8, 40};
  spec.experts = counts[choices.below(5)];
  const bool tame = choices.below(4) == 0;
  spec.top_k = tame ? spec.experts : 1 + choices.below(spec.experts);
  spec.sigmoid = choices.below(2) == 1;
  spec.normalize = choices.below(2) == 1;
  spec.scale = 1.7f;
  constexpr Type types[] = {Type::f32, Type::q4_0, Type::q8_0, Type::q4_1, Type::bf16};
  const Type type = tame ? Type::f32 : types[choices.below(5)];
  const bool shared = choices.below(2) == 1;
  const Activation activation = choices.below(2) == 0 ? Activation::silu : Activation::gelu_tanh;
  const int64_t hidden = 32 * (1 + choices.below(3)), inner = 32 * (1 + choices.below(2));
  const int64_t tokens = 1 + choices.below(30), step = 1 + choices.below(static_cast<int>(tokens));
  const int threads = 1 + choices.below(3);
  const int64_t n = spec.experts;
  const auto weight = [&](Type of, int64_t rows, int64_t cols, uint32_t seed) {
    return tame ? test::random_weight(of, rows, cols, seed, 0.3f)
                : weight_bytes(choices, {of, Precision::automatic, rows, cols});
  };
  const std::vector<std::byte> router = weight(Type::f32, n, hidden, 1), gate = weight(type, n * inner, hidden, 2),
                               up = weight(type, n * inner, hidden, 3), down = weight(type, n * hidden, inner, 4);
  const std::vector<float> x =
      tame ? test::random_values(static_cast<size_t>(tokens * hidden), 5) : floats(choices, tokens, hidden);
  const auto run = [&](Machine& m, int64_t each) {
    StepLimits limits = test::limits_for(tokens, std::max(hidden, inner));
    limits.experts = n, limits.top_k = spec.top_k, limits.expert_width = inner;
    m.reserve(limits);
    const Weight r = m.load(router, Type::f32, n, hidden, Precision::f32);
    const Weight g = m.load(gate, type, inner, hidden, Precision::automatic, n);
    const Weight u = m.load(up, type, inner, hidden, Precision::automatic, n);
    const Weight d = m.load(down, type, hidden, inner, Precision::automatic, n);
    // The first expert's matrices are the shared one's too.
    const auto first_of = [&](const std::vector<std::byte>& bytes, int64_t rows, int64_t cols) {
      const int64_t size = rows * row_bytes(type, cols);
      return m.load({bytes.begin(), bytes.begin() + size}, type, rows, cols, Precision::automatic);
    };
    const Weight sg = first_of(gate, inner, hidden), su = first_of(up, inner, hidden),
                 sd = first_of(down, hidden, inner);
    return by_steps(tokens, each, [&](int64_t first, int64_t rows) {
      const Buffer in = rows_of(m, x, hidden, first, rows);
      Buffer residual = m.buffer(rows, hidden, std::vector<float>(static_cast<size_t>(rows * hidden), 0.25f));
      m.begin(rows);
      ExpertsArgs args{};
      args.rows = rows, args.x = &in, args.router = &r, args.spec = spec;
      args.gate = &g, args.up = &u, args.down = &d, args.activation = activation, args.residual = &residual;
      if (shared) args.shared_gate = &sg, args.shared_up = &su, args.shared_down = &sd;
      m->experts(args);
      return m.read(residual);
    });
  };
  std::vector<float> expected;
  if (tame) {
    Machine reference("ref");
    expected = run(reference, tokens);
  }
  for (const std::string& isa : test::isas_under_test()) {
    Machine one(isa), other(isa, threads), single(isa, 2);
    const std::vector<float> whole = run(one, tokens);
    if (tame) AUTOGLM_CHECK(test::distance(whole, expected) <= 5e-5, "experts are not the reference's");
    check_same(run(other, step), whole, isa + " experts by " + std::to_string(step));
    check_same(run(single, 1), whole, isa + " experts one by one");
  }
}

/// In the order in which they came, so that files of the corpus keep their meaning.
constexpr KvType kTypesOfKv[] = {KvType::f32, KvType::bf16, KvType::q8, KvType::f16, KvType::q4};

test::AttentionShape attention_shape(Choices& choices) {
  test::AttentionShape shape;
  constexpr int dims[] = {1, 4, 12, 20, 32, 33, 64, 80};
  constexpr int windows[] = {0, 0, 1, 7, 37, 300};
  constexpr float scales[] = {0.4f, 1.0f, 1e-4f, 30.0f};
  shape.kv_heads = 1 + choices.below(3);
  shape.heads = shape.kv_heads * (1 + choices.below(5));
  shape.key_dim = dims[choices.below(8)];
  shape.value_dim = dims[choices.below(8)];
  shape.rope.dims = 0;  // what rope and norms round moves values over the borders of their codes
  shape.scale = scales[choices.below(4)];
  shape.softcap = choices.below(3) == 2 ? 3.0f : 0.0f;
  shape.window = windows[choices.below(6)];
  shape.type = kTypesOfKv[choices.below(std::size(kTypesOfKv))];
  return shape;
}

/// Cuts `tokens` into steps of at most `most`.
std::vector<std::vector<test::Part>> cut(int64_t tokens, int64_t most) {
  std::vector<std::vector<test::Part>> steps;
  for (int64_t first = 0; first < tokens; first += most) steps.push_back({{0, std::min(most, tokens - first)}});
  return steps;
}

void attention(Choices& choices) {
  const test::AttentionShape shape = attention_shape(choices);
  const int64_t tokens = choices.below(5) == 4 ? 250 + choices.below(30) : 1 + choices.below(50);
  const int64_t step = 1 + choices.below(40);
  const int threads = 1 + choices.below(3);
  const test::AttentionInput input{floats(choices, tokens, shape.heads * shape.key_dim),
                                   floats(choices, tokens, shape.kv_heads * shape.key_dim),
                                   floats(choices, tokens, shape.kv_heads * shape.value_dim)};
  Machine reference("ref");
  const std::vector<float> expected = test::run_attention(reference, shape, {&input, 1}, cut(tokens, tokens))[0];
  for (const std::string& isa : test::isas_under_test()) {
    const AttentionBounds bounds(shape, input,
                                 isa == "amx" && (shape.type == KvType::bf16 || shape.type == KvType::q8));
    const std::string what = isa + " attention, cache " + std::to_string(static_cast<int>(shape.type)) + ", dims " +
                             std::to_string(shape.key_dim) + " and " + std::to_string(shape.value_dim);
    Machine one(isa), other(isa, threads), single(isa, 2);
    const std::vector<float> whole = test::run_attention(one, shape, {&input, 1}, cut(tokens, tokens))[0];
    std::vector<Bound> bound(static_cast<size_t>(shape.value_dim));
    for (int64_t p = 0; p < tokens; p += tokens > 64 ? 9 : 1) {
      for (int h = 0; h < shape.heads; ++h) {
        bounds.of(p, h, bound);
        const auto at = static_cast<size_t>((p * shape.heads + h) * shape.value_dim);
        for (size_t d = 0; d < bound.size(); ++d) {
          check_close(whole[at + d], expected[at + d], bound[d], false, what, at + d);
        }
      }
    }
    check_same(test::run_attention(other, shape, {&input, 1}, cut(tokens, step))[0], whole,
               what + " by " + std::to_string(step));
    check_same(test::run_attention(single, shape, {&input, 1}, cut(tokens, 1))[0], whole, what + " one by one");
  }
}

/// Latent attention is three products around an attention, whose codes may fall on either side of a border: only tame
/// values are compared with the reference, with the tolerance of its tests; bits are compared for all.
void latent_attention(Choices& choices) {
  test::LatentShape shape;
  constexpr Type types[] = {Type::f32, Type::bf16, Type::q8_0, Type::q4_0};
  shape.heads = 1 + choices.below(5);
  shape.weights = types[choices.below(4)];
  shape.precision = choices.below(2) == 1 ? Precision::f32 : Precision::automatic;
  shape.type = kTypesOfKv[choices.below(std::size(kTypesOfKv))];
  const int64_t tokens = choices.below(4) == 3 ? 250 + choices.below(30) : 1 + choices.below(50);
  const int64_t step = 1 + choices.below(40);
  const int threads = 1 + choices.below(3);
  test::LatentInput input = test::random_latent_input(shape, tokens);
  const bool tame = choices.below(4) == 0;
  if (!tame) {
    input.q = floats(choices, tokens, shape.heads * (shape.nope + shape.rope));
    input.latent = floats(choices, tokens, shape.rank + shape.rope);
  }
  const auto steps = [&](int64_t most) {
    std::vector<int64_t> parts;
    for (const auto& part : cut(tokens, most)) parts.push_back(part[0].rows);
    return parts;
  };
  std::vector<float> expected;
  if (tame && tokens <= 50) {
    Machine reference("ref");
    expected = test::run_latent(reference, shape, input, steps(tokens));
  }
  for (const std::string& isa : test::isas_under_test()) {
    Machine one(isa), other(isa, threads), single(isa, 2);
    const std::vector<float> whole = test::run_latent(one, shape, input, steps(tokens));
    if (!expected.empty())
      AUTOGLM_CHECK(test::distance(whole, expected) <= (shape.type == KvType::q4 ? 0.5 : 0.1),
                    "latent attention is not the reference's");
    check_same(test::run_latent(other, shape, input, steps(step)), whole, isa + " latent by " + std::to_string(step));
    check_same(test::run_latent(single, shape, input, steps(1)), whole, isa + " latent one by one");
  }
}

}  // namespace
}  // namespace autoglm::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 512) return 0;  // there are no more choices than that
  autoglm::fuzz::Choices choices(data, size);
  switch (choices.below(12)) {
    case 8:
      autoglm::fuzz::head(choices);
      break;
    case 9:
    case 10:
      autoglm::fuzz::gate_up(choices);
      break;
    case 11:
      autoglm::fuzz::experts(choices);
      break;
    case 7:
      autoglm::fuzz::latent_attention(choices);
      break;
    case 6:
    case 5:
    case 4:
      autoglm::fuzz::attention(choices);
      break;
    default:
      autoglm::fuzz::products(choices);
      break;
  }
  return 0;
}
