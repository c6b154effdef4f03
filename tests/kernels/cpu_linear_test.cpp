// Matrix products of every type, precision and ISA against the reference, and against themselves bit for bit.
#include <algorithm>
#include <cstring>
#include <limits>

#include "cpu_scenarios.h"

namespace autoglm {
namespace {

using test::isas_under_test;
using test::limits_for;
using test::Machine;
using test::multiply;
using test::quantized_types;
using test::random_values;
using test::random_weight;
using Shape = test::ProductShape;

// Bound of one output's error, in units of |w| |x| (Cauchy-Schwarz bounds every partial sum by it):
//  f32 and bf16: at most 256 + cols / 256 additions, each 2^-24 (2^-23 where a product is rounded too), and they err in
//  random directions: 3e-6 leaves a factor of 3 above the largest seen at 900 columns. bf16 by vdpbf16ps also flushes
//  denormals, which is far below. int8: integer sums and scales are exact and equal to the reference's, and far fewer
//  float32 sums are rounded.
constexpr double kTolerance = 3e-6;

void expect_close(const Shape& shape, const std::vector<std::byte>& bytes, const std::vector<float>& x,
                  const std::vector<float>& got, const std::vector<float>& expected, const std::string& what) {
  const std::vector<float> w = test::decoded(bytes, shape.type, shape.rows * shape.cols);
  const auto n = static_cast<int64_t>(x.size()) / shape.cols;
  ASSERT_EQ(got.size(), expected.size());
  for (int64_t t = 0; t < n; ++t) {
    double xx = 0;
    for (int64_t c = 0; c < shape.cols; ++c) xx += std::pow(static_cast<double>(x[t * shape.cols + c]), 2);
    for (int64_t r = 0; r < shape.rows; ++r) {
      double ww = 0;
      for (int64_t c = 0; c < shape.cols; ++c) ww += std::pow(static_cast<double>(w[r * shape.cols + c]), 2);
      const double error = std::abs(static_cast<double>(got[t * shape.rows + r]) - expected[t * shape.rows + r]);
      ASSERT_LE(error, kTolerance * std::sqrt(ww * xx) + 1e-30)
          << what << " " << info(shape.type).name << " row " << t << " output " << r << " of " << shape.rows << "x"
          << shape.cols << ": " << got[t * shape.rows + r] << " for " << expected[t * shape.rows + r];
    }
  }
}

std::vector<Shape> shapes() {
  std::vector<Shape> all;
  for (Precision precision : {Precision::automatic, Precision::f32}) {
    for (Type type : quantized_types()) {
      const int64_t block = info(type).block_columns;
      all.push_back({type, precision, 37, block == 256 ? 512 : 96});
      all.push_back({type, precision, 64, block == 256 ? 768 : 576});
      all.push_back({type, precision, 3, block});
    }
    for (Type type : {Type::f32, Type::f16, Type::bf16}) {
      all.push_back({type, precision, 33, 20});
      all.push_back({type, precision, 5, 897});
      all.push_back({type, precision, 64, 257});
      all.push_back({type, precision, 1, 1});
    }
  }
  return all;
}

TEST(CpuLinear, EveryTypeAndPrecisionAgreesWithTheReferenceOnEveryIsa) {
  uint32_t seed = 1;
  for (const Shape& shape : shapes()) {
    const std::vector<std::byte> bytes = random_weight(shape.type, shape.rows, shape.cols, ++seed);
    std::vector<float> x = random_values(static_cast<size_t>(14 * shape.cols), ++seed);
    std::fill_n(x.begin() + shape.cols, shape.cols, 0.0f);                                         // a zero row
    for (int64_t c = 0; c < shape.cols; ++c) x[static_cast<size_t>(2 * shape.cols + c)] *= 1e18f;  // extreme rows
    for (int64_t c = 0; c < shape.cols; ++c) x[static_cast<size_t>(3 * shape.cols + c)] *= 1e-18f;
    x[static_cast<size_t>(4 * shape.cols)] = 3e4f;  // one outlier
    Machine ref("ref");
    const std::vector<float> expected = multiply(ref, shape, bytes, x, 14);
    for (const std::string& isa : isas_under_test()) {
      Machine machine(isa);
      expect_close(shape, bytes, x, multiply(machine, shape, bytes, x, 14), expected, isa);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(CpuLinear, SameBitsForEveryNumberOfRowsAndThreads) {
  uint32_t seed = 100;
  for (const Shape& shape : shapes()) {
    const std::vector<std::byte> bytes = random_weight(shape.type, shape.rows, shape.cols, ++seed);
    const std::vector<float> x = random_values(static_cast<size_t>(101 * shape.cols), ++seed);
    for (const std::string& isa : isas_under_test()) {
      Machine one(isa);
      const std::vector<float> whole = multiply(one, shape, bytes, x, 101);
      for (int64_t step : {1, 2, 3, 4, 5, 6, 7, 11, 12, 40}) {
        Machine machine(isa, step % 3 == 0 ? 3 : static_cast<int>(step % 3));
        ASSERT_EQ(multiply(machine, shape, bytes, x, step), whole)
            << isa << " " << info(shape.type).name << " " << shape.rows << "x" << shape.cols << " by " << step;
      }
    }
  }
}

// Many rows are cut into parts that workers take before those of others: 800 on three workers are three, and none of
// them ends with a tile.
TEST(CpuLinear, PartsOfManyRowsGiveTheBitsOfOneWorker) {
  for (const std::string& isa : isas_under_test()) {
    for (const Shape& shape :
         {Shape{Type::q4_1, Precision::automatic, 150, 96}, Shape{Type::q4_k, Precision::automatic, 40, 256},
          Shape{Type::bf16, Precision::automatic, 70, 40}}) {
      const int64_t rows = 799;
      const std::vector<std::byte> bytes = random_weight(shape.type, shape.rows, shape.cols, 14);
      const std::vector<float> x = random_values(static_cast<size_t>(rows * shape.cols), 15);
      Machine one(isa);
      const std::vector<float> expected = multiply(one, shape, bytes, x, rows);
      for (int threads : {2, 3}) {
        Machine several(isa, threads);
        EXPECT_TRUE(multiply(several, shape, bytes, x, rows) == expected)
            << isa << " " << info(shape.type).name << " on " << threads << " workers";
      }
    }
  }
}

// AMX multiplies what many rows meet, AVX-512 the rest: a user of one must get the answer of the other.
TEST(CpuLinear, AmxGivesTheBitsOfAvx512) {
  const std::vector<std::string> isas = isas_under_test();
  if (std::count(isas.begin(), isas.end(), "amx") == 0) return;  // this CPU has no AMX: nothing to compare
  for (Type type : quantized_types()) {
    const Shape shape{type, Precision::automatic, 70, 768};
    const std::vector<std::byte> bytes = random_weight(type, shape.rows, shape.cols, 5);
    for (int64_t rows : {32, 37}) {
      const std::vector<float> x = random_values(static_cast<size_t>(rows * shape.cols), 6);
      Machine amx("amx"), avx512("avx512");
      EXPECT_EQ(multiply(amx, shape, bytes, x, rows), multiply(avx512, shape, bytes, x, rows)) << info(type).name;
    }
  }
}

TEST(CpuLinear, WeightsOfExtremeScalesKeepTheirPrecision) {
  for (float deviation : {1e-6f, 1e-3f, 3e3f}) {
    for (Type type : quantized_types()) {
      if (info(type).encode == nullptr) continue;
      const Shape shape{type, Precision::automatic, 40, 512};
      const std::vector<std::byte> bytes = random_weight(type, shape.rows, shape.cols, 7, deviation);
      const std::vector<float> x = random_values(static_cast<size_t>(2 * shape.cols), 8);
      Machine ref("ref");
      const std::vector<float> expected = multiply(ref, shape, bytes, x, 2);
      for (const std::string& isa : isas_under_test()) {
        Machine machine(isa);
        expect_close(shape, bytes, x, multiply(machine, shape, bytes, x, 2), expected, isa);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST(CpuLinear, NotANumberReachesTheOutputAndNoOtherRow) {
  for (Type type : {Type::q4_1, Type::q6_k, Type::bf16, Type::f32}) {
    for (float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      const Shape shape{type, Precision::automatic, 33, 256};
      const std::vector<std::byte> bytes = random_weight(type, shape.rows, shape.cols, 9);
      std::vector<float> x = random_values(static_cast<size_t>(3 * shape.cols), 10);
      x[static_cast<size_t>(shape.cols + 77)] = bad;
      for (const std::string& isa : isas_under_test()) {
        Machine machine(isa);
        const std::vector<float> out = multiply(machine, shape, bytes, x, 3);
        for (int64_t r = 0; r < shape.rows; ++r) {
          EXPECT_TRUE(std::isfinite(out[static_cast<size_t>(r)]));
          EXPECT_FALSE(std::isfinite(out[static_cast<size_t>(shape.rows + r)])) << isa << " " << info(type).name;
          EXPECT_TRUE(std::isfinite(out[static_cast<size_t>(2 * shape.rows + r)]));
        }
      }
    }
  }
}

// A scale in the file may be any bit pattern: such a row is NaN, its neighbours are not touched.
TEST(CpuLinear, InfiniteScaleInTheFileMakesItsRowNotANumber) {
  struct Place {
    Type type;
    size_t at;  // of a float16 in the block
  };
  for (const Place& place : {Place{Type::q4_0, 0}, Place{Type::q4_1, 2}, Place{Type::q4_k, 0}, Place{Type::q4_k, 2},
                             Place{Type::q6_k, 208}, Place{Type::iq4_xs, 0}}) {
    const Shape shape{place.type, Precision::automatic, 3, 256};
    std::vector<std::byte> bytes = random_weight(shape.type, shape.rows, shape.cols, 11);
    const size_t row = static_cast<size_t>(row_bytes(shape.type, shape.cols)) + place.at;
    bytes[row] = std::byte{0x00};
    bytes[row + 1] = std::byte{0x7c};
    for (const std::string& isa : isas_under_test()) {
      Machine machine(isa);
      for (int64_t rows : {1, 16}) {
        const std::vector<float> out =
            multiply(machine, shape, bytes, random_values(static_cast<size_t>(rows * 256), 12), rows);
        EXPECT_TRUE(std::isfinite(out[0])) << info(place.type).name;
        EXPECT_TRUE(std::isnan(out[1])) << isa << " " << info(place.type).name;
        EXPECT_TRUE(std::isfinite(out[2])) << info(place.type).name;
      }
    }
  }
}

// The largest codes times the largest activations: sums of products that an ISA makes in 16 bits must not saturate.
TEST(CpuLinear, LargestCodesDoNotSaturate) {
  for (Type type : quantized_types()) {
    const Shape shape{type, Precision::automatic, 32, 512};
    std::vector<float> values(static_cast<size_t>(shape.rows * shape.cols), 1.0f);
    for (size_t c = 0; c < values.size(); c += 16) values[c] = -1.0f;  // the other end of the scale
    std::vector<std::byte> bytes(static_cast<size_t>(row_bytes(type, shape.cols) * shape.rows));
    info(type).encode(values.data(), bytes.data(), static_cast<int64_t>(values.size()));
    std::vector<float> x(static_cast<size_t>(14 * shape.cols), 1.0f);
    std::fill_n(x.begin() + shape.cols, shape.cols, -1.0f);
    for (int64_t c = 0; c < shape.cols; c += 4) x[static_cast<size_t>(2 * shape.cols + c)] = -1.0f;
    Machine ref("ref");
    const std::vector<float> expected = multiply(ref, shape, bytes, x, 14);
    for (const std::string& isa : isas_under_test()) {
      Machine machine(isa);
      expect_close(shape, bytes, x, multiply(machine, shape, bytes, x, 3), expected, isa);
      expect_close(shape, bytes, x, multiply(machine, shape, bytes, x, 14), expected, isa);
      if (HasFatalFailure()) return;
    }
  }
}

// Decode is bound by reading weights: a packed form that is larger than the file's is paid for with every token.
TEST(CpuLinear, PackedFormsAreNearlyAsSmallAsTheFile) {
  Machine machine(isas_under_test().front());
  for (Type type : quantized_types()) {
    const std::vector<std::byte> bytes = random_weight(type, 64, 512, 13);
    const Weight weight = machine.load(bytes, type, 64, 512, Precision::automatic);
    const double ratio = static_cast<double>(weight.bytes) / static_cast<double>(bytes.size());
    EXPECT_LE(ratio, type == Type::q2_k ? 1.2 : 1.04) << info(type).name << " " << weight.layout;
  }
}

// ---- The phases around a product. Inputs are normed, so that a code of the reference (normed in double) and one of an
// ISA (normed in float32) may differ by one where a value lies between two: that moves an output by amax / 127 * |w|,
// about 3 / 127 / sqrt(cols) of its root mean square. Two such flips in one output at 96 columns: 5e-3.
double phase_tolerance(Precision precision) { return precision == Precision::f32 ? 2e-5 : 1e-2; }

std::vector<float> project_phase(Machine& m, Precision precision) {
  m.reserve(limits_for(9, 256));
  const Buffer x = m.buffer(9, 300, random_values(2700, 21));
  const Norm norm{m.buffer(1, 256, random_values(256, 22)), 1e-5f};
  const Weight a = m.load(random_weight(Type::q4_k, 70, 256, 23), Type::q4_k, 70, 256, precision);
  const Weight b = m.load(random_weight(Type::q8_0, 33, 256, 24), Type::q8_0, 33, 256, precision);
  const Weight c = m.load(random_weight(Type::bf16, 7, 256, 25), Type::bf16, 7, 256, precision);
  const Weight d = m.load(random_weight(Type::f32, 4, 256, 26), Type::f32, 4, 256, precision);
  const Buffer bias = m.buffer(1, 70, random_values(70, 27));
  Buffer oa = m.buffer(9, 70), ob = m.buffer(9, 40), oc = m.buffer(9, 7), od = m.buffer(9, 4);
  m.begin(9);
  const Projection projections[] = {{&a, &bias, &oa}, {&b, nullptr, &ob}, {&c, nullptr, &oc}, {&d, nullptr, &od}};
  m->project({9, &x, 20, &norm, projections});
  std::vector<float> all;
  for (const Buffer& out : {oa, ob, oc, od}) {
    const std::vector<float> part = m.read(out);
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

std::vector<float> add_phase(Machine& m, Precision precision, bool post_norm) {
  m.reserve(limits_for(7, 96));
  const Buffer x = m.buffer(7, 96, random_values(7 * 96, 31));
  const Weight w = m.load(random_weight(Type::q5_1, 50, 96, 32), Type::q5_1, 50, 96, precision);
  const Buffer bias = m.buffer(1, 50, random_values(50, 33));
  const Norm norm{m.buffer(1, 50, random_values(50, 34)), 1e-6f};
  Buffer residual = m.buffer(7, 50, random_values(350, 35));
  m.begin(7);
  m->project_add({7, &x, &w, &bias, post_norm ? &norm : nullptr, 0.5f, &residual});
  return m.read(residual);
}

std::vector<float> gate_up_phase(Machine& m, Precision precision, Activation activation) {
  m.reserve(limits_for(14, 96));
  const Buffer x = m.buffer(14, 96, random_values(14 * 96, 41));
  const Norm norm{m.buffer(1, 96, random_values(96, 42)), 1e-5f};
  const Weight gate = m.load(random_weight(Type::q4_1, 45, 96, 43), Type::q4_1, 45, 96, precision);
  const Weight up = m.load(random_weight(Type::q4_0, 45, 96, 44), Type::q4_0, 45, 96, precision);
  const Buffer gate_bias = m.buffer(1, 45, random_values(45, 45)), up_bias = m.buffer(1, 45, random_values(45, 46));
  Buffer out = m.buffer(14, 45);
  m.begin(14);
  m->gate_up({14, &x, &norm, &gate, &up, &gate_bias, &up_bias, activation, &out});
  return m.read(out);
}

std::vector<float> head_phase(Machine& m, Precision precision) {
  m.reserve(limits_for(6, 64));
  const Buffer x = m.buffer(6, 64, random_values(6 * 64, 51));
  const Norm norm{m.buffer(1, 64, random_values(64, 52)), 1e-5f};
  const Weight head = m.load(random_weight(Type::q8_0, 99, 64, 53), Type::q8_0, 99, 64, precision);
  Buffer logits = m.buffer(3, 99), hidden = m.buffer(3, 64);
  const int32_t rows[] = {5, 0, 3};
  m.begin(6);
  m->head({&x, rows, &norm, &head, 5.0f, &logits, &hidden});
  std::vector<float> all = m.read(logits);
  const std::vector<float> more = m.read(hidden);
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

template <typename Phase>
void compare(Precision precision, Phase phase, const std::string& what) {
  Machine ref("ref");
  const std::vector<float> expected = phase(ref);
  for (const std::string& isa : isas_under_test()) {
    Machine one(isa), three(isa, 3);
    const std::vector<float> got = phase(one);
    EXPECT_LE(test::distance(got, expected), phase_tolerance(precision)) << what << " " << isa;
    EXPECT_EQ(phase(three), got) << what << " " << isa << ": bits with three threads";
  }
}

TEST(CpuLinear, PhasesAgreeWithTheReference) {
  for (Precision p : {Precision::f32, Precision::automatic}) {
    compare(p, [&](Machine& m) { return project_phase(m, p); }, "project");
    compare(p, [&](Machine& m) { return add_phase(m, p, false); }, "project_add");
    compare(p, [&](Machine& m) { return add_phase(m, p, true); }, "project_add with norm");
    compare(p, [&](Machine& m) { return gate_up_phase(m, p, Activation::silu); }, "silu");
    compare(p, [&](Machine& m) { return gate_up_phase(m, p, Activation::gelu_tanh); }, "gelu");
    compare(p, [&](Machine& m) { return head_phase(m, p); }, "head");
  }
}

// Finite values stay right where their squares, cubes and exponentials overflow.
TEST(CpuLinear, HugeValuesAreNormedAndActivated) {
  std::vector<float> values = random_values(4 * 37, 62);
  const float scales[] = {1e18f, 1e19f, 1e25f, 5e37f};
  for (size_t i = 0; i < values.size(); ++i) values[i] *= scales[i / 37];
  const auto norm = [&](Machine& m) {
    m.reserve(limits_for(4, 37));
    const Buffer x = m.buffer(4, 37, values);
    const Norm norm{m.buffer(1, 37, random_values(37, 63)), 1e-5f};
    Buffer hidden = m.buffer(4, 37);
    const int32_t rows[] = {0, 1, 2, 3};
    m.begin(4);
    m->head({&x, rows, &norm, nullptr, 0.0f, nullptr, &hidden});
    return m.read(hidden);
  };
  const std::vector<float> gates = {-3.4e38f, -1e38f, -1e19f, -1e13f, -1e4f, -120.0f, -89.0f, -88.1f, -87.9f, -87.0f,
                                    -20.0f,   -1e-3f, 0.0f,   1e-3f,  20.0f, 88.0f,   1e4f,   1e13f,  1e19f,  3.4e38f};
  const auto n = static_cast<int64_t>(gates.size());
  const auto activate = [&](Machine& m, Activation activation) {
    m.reserve(limits_for(1, n));
    std::vector<std::byte> bytes(gates.size() * 4), ones(gates.size() * 4);
    std::memcpy(bytes.data(), gates.data(), bytes.size());
    const std::vector<float> factors(gates.size(), 1.0f);
    std::memcpy(ones.data(), factors.data(), ones.size());
    const Weight gate = m.load(bytes, Type::f32, n, 1, Precision::automatic);
    const Weight up = m.load(ones, Type::f32, n, 1, Precision::automatic);
    const Buffer x = m.buffer(1, 1, {1.0f});
    Buffer out = m.buffer(1, n);
    m.begin(1);
    m->gate_up({1, &x, nullptr, &gate, &up, nullptr, nullptr, activation, &out});
    return m.read(out);
  };
  Machine ref("ref");
  for (const std::string& isa : isas_under_test()) {
    Machine machine(isa);
    const auto expect_near = [&](const std::vector<float>& got, const std::vector<float>& expected, const char* what) {
      for (size_t i = 0; i < expected.size(); ++i) {
        EXPECT_NEAR(got[i], expected[i], 2e-6 * std::abs(expected[i]) + 1e-6) << isa << " " << what << " " << i;
      }
    };
    expect_near(norm(machine), norm(ref), "norm");
    expect_near(activate(machine, Activation::silu), activate(ref, Activation::silu), "silu");
    expect_near(activate(machine, Activation::gelu_tanh), activate(ref, Activation::gelu_tanh), "gelu");
  }
}

TEST(CpuLinear, EmbeddingRowsAreExactFromEveryType) {
  std::vector<Type> types = quantized_types();
  types.insert(types.end(), {Type::f32, Type::f16, Type::bf16});
  for (Type type : types) {
    const std::vector<std::byte> bytes = random_weight(type, 50, 256, 61);
    std::vector<int32_t> tokens;
    for (int32_t i = 0; i < 40; ++i) tokens.push_back(i * 7 % 50);
    const auto run = [&](Machine& m) {
      const Weight table = m.load(bytes, type, 50, 256, Precision::automatic);
      Buffer out = m.buffer(40, 256);
      m.reserve(limits_for(40, 256));
      m->embed({&table, tokens, 3.5f, &out});
      return m.read(out);
    };
    Machine ref("ref");
    const std::vector<float> expected = run(ref);
    for (const std::string& isa : isas_under_test()) {
      Machine machine(isa, 2);
      EXPECT_EQ(run(machine), expected) << isa << " " << info(type).name;
    }
  }
}

TEST(CpuLinear, WeightBytesAreKnownBeforeLoading) {
  for (const std::string& isa : isas_under_test()) {
    Machine m(isa);
    for (const Shape& shape : shapes()) {
      const std::vector<std::byte> bytes = random_weight(shape.type, shape.rows, shape.cols, 71);
      const WeightSource source{"w", shape.type, 1, shape.rows, shape.cols, bytes};
      EXPECT_EQ(m->weight_bytes(source, shape.precision), m->load(source, shape.precision).bytes);
    }
  }
}

}  // namespace
}  // namespace autoglm
