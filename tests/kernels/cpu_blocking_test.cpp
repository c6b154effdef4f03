// Many rows meet several panels before the next rows are taken (Blocking): which ones, and in which order, may never
// show in the bits.
#include <algorithm>

#include "cpu_scenarios.h"

namespace autoglm::test {
namespace {

constexpr int64_t kRows = 130, kCols = 256;  // more rows than any block has

// With one worker a block is 4 panels; with three it is smaller and another split.
constexpr int64_t kWide = 40 * 32 + 7;

/// f(rows, x of those rows) -> results of those rows, `step` rows at a time.
template <typename F>
std::vector<float> by_steps(int64_t step, const std::vector<float>& x, F&& f) {
  std::vector<float> all;
  for (int64_t first = 0; first < kRows; first += step) {
    const int64_t m = std::min(step, kRows - first);
    const std::vector<float> part =
        f(m, std::vector<float>(x.begin() + first * kCols, x.begin() + (first + m) * kCols));
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

/// Rows of all outputs, one beside the other, so that results of different steps can be compared.
std::vector<float> beside(Machine& m, int64_t rows, const std::vector<Buffer>& outs) {
  std::vector<std::vector<float>> values;
  for (const Buffer& out : outs) values.push_back(m.read(out));
  std::vector<float> all;
  for (int64_t r = 0; r < rows; ++r) {
    for (size_t i = 0; i < outs.size(); ++i) {
      const auto begin = values[i].begin() + r * outs[i].cols;
      all.insert(all.end(), begin, begin + outs[i].cols);
    }
  }
  return all;
}

std::vector<float> project(Machine& m, int64_t step) {
  m.reserve(limits_for(kRows, kWide));
  const Weight a = m.load(random_weight(Type::q4_k, 75, kCols, 1), Type::q4_k, 75, kCols, Precision::automatic);
  const Weight b = m.load(random_weight(Type::q6_k, kWide, kCols, 2), Type::q6_k, kWide, kCols, Precision::automatic);
  const Weight c = m.load(random_weight(Type::bf16, 96, kCols, 3), Type::bf16, 96, kCols, Precision::automatic);
  const Weight d = m.load(random_weight(Type::q8_0, 300, kCols, 4), Type::q8_0, 300, kCols, Precision::automatic);
  const Buffer bias = m.buffer(1, kWide, random_values(kWide, 5));
  return by_steps(step, random_values(kRows * kCols, 6), [&](int64_t rows, const std::vector<float>& values) {
    const Buffer x = m.buffer(rows, kCols, values);
    Buffer oa = m.buffer(rows, 75), ob = m.buffer(rows, kWide), oc = m.buffer(rows, 96), od = m.buffer(rows, 300);
    const Projection all[] = {{&a, nullptr, &oa}, {&b, &bias, &ob}, {&c, nullptr, &oc}, {&d, nullptr, &od}};
    m.begin(rows);
    m->project({rows, &x, 0, nullptr, all});
    return beside(m, rows, {oa, ob, oc, od});
  });
}

std::vector<float> add(Machine& m, int64_t step, Type type, Precision precision, bool normed) {
  m.reserve(limits_for(kRows, kWide));
  const Weight w = m.load(random_weight(type, kWide, kCols, 11), type, kWide, kCols, precision);
  const Norm norm{m.buffer(1, kWide, random_values(kWide, 12)), 1e-6f};
  return by_steps(step, random_values(kRows * kCols, 13), [&](int64_t rows, const std::vector<float>& values) {
    const Buffer x = m.buffer(rows, kCols, values);
    Buffer residual = m.buffer(rows, kWide, std::vector<float>(static_cast<size_t>(rows * kWide), 0.25f));
    m.begin(rows);
    m->project_add({rows, &x, &w, nullptr, normed ? &norm : nullptr, 0.5f, &residual});
    return m.read(residual);
  });
}

std::vector<float> gate_up(Machine& m, int64_t step) {
  m.reserve(limits_for(kRows, kWide));
  const Weight gate =
      m.load(random_weight(Type::q5_k, kWide, kCols, 21), Type::q5_k, kWide, kCols, Precision::automatic);
  const Weight up = m.load(random_weight(Type::q4_0, kWide, kCols, 22), Type::q4_0, kWide, kCols, Precision::automatic);
  return by_steps(step, random_values(kRows * kCols, 23), [&](int64_t rows, const std::vector<float>& values) {
    const Buffer x = m.buffer(rows, kCols, values);
    Buffer out = m.buffer(rows, kWide);
    m.begin(rows);
    m->gate_up({rows, &x, nullptr, &gate, &up, nullptr, nullptr, Activation::silu, &out});
    return m.read(out);
  });
}

/// Gate, up and down. `told`: the first phase knows what reads it.
std::vector<float> feed_forward(Machine& m, int64_t step, Type down_type, bool told) {
  constexpr int64_t kInner = 512;
  m.reserve(limits_for(kRows, kInner));
  const Weight gate =
      m.load(random_weight(Type::q4_0, kInner, kCols, 31), Type::q4_0, kInner, kCols, Precision::automatic);
  const Weight up =
      m.load(random_weight(Type::q4_1, kInner, kCols, 32), Type::q4_1, kInner, kCols, Precision::automatic);
  const Weight down =
      m.load(random_weight(down_type, kCols, kInner, 33), down_type, kCols, kInner, Precision::automatic);
  // Kept over all steps, as a model's is: what one step left there must not show in the next.
  Buffer inner = m.buffer(kRows, kInner);
  return by_steps(step, random_values(kRows * kCols, 34), [&](int64_t rows, const std::vector<float>& values) {
    const Buffer x = m.buffer(rows, kCols, values);
    Buffer residual = m.buffer(rows, kCols, values);
    m.begin(rows);
    m->gate_up({.rows = rows,
                .x = &x,
                .norm = nullptr,
                .gate = &gate,
                .up = &up,
                .out = &inner,
                .next = told ? &down : nullptr});
    m->project_add({.rows = rows, .x = &inner, .weight = &down, .residual = &residual});
    return m.read(residual);
  });
}

template <typename F>
void expect_same_bits(F&& phase, const std::string& what) {
  for (const std::string& isa : isas_under_test()) {
    Machine one(isa), three(isa, 3);
    const std::vector<float> expected = phase(one, 1);
    EXPECT_EQ(phase(one, kRows), expected) << what << " " << isa;
    EXPECT_EQ(phase(three, kRows), expected) << what << " " << isa << ", three threads";
    EXPECT_EQ(phase(three, 70), expected) << what << " " << isa << ", 70 rows at a time";
  }
}

TEST(CpuBlocking, ProjectionsThatShareABlock) { expect_same_bits(project, "project"); }

TEST(CpuBlocking, ProductsThatAreAdded) {
  for (Type type : {Type::q4_0, Type::q2_k, Type::f16}) {
    for (bool normed : {false, true}) {
      expect_same_bits([&](Machine& m, int64_t step) { return add(m, step, type, Precision::automatic, normed); },
                       std::string(info(type).name) + (normed ? " normed" : ""));
    }
  }
  expect_same_bits([](Machine& m, int64_t step) { return add(m, step, Type::q4_0, Precision::f32, false); }, "exact");
}

TEST(CpuBlocking, GateAndUpOfTwoTypes) { expect_same_bits(gate_up, "gate_up"); }

TEST(CpuBlocking, WhatIsLeftInTheFormOfItsReaderIsTheSame) {
  for (const Type down : {Type::q4_1, Type::q6_k, Type::bf16}) {
    const std::string name(info(down).name);
    expect_same_bits([&](Machine& m, int64_t step) { return feed_forward(m, step, down, true); }, name);
    for (const std::string& isa : isas_under_test()) {
      Machine told(isa), untold(isa);
      EXPECT_EQ(feed_forward(told, kRows, down, true), feed_forward(untold, kRows, down, false)) << name << " " << isa;
    }
  }
}

}  // namespace
}  // namespace autoglm::test
