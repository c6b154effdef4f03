// Denormals, rounding and traps: the kernels set their own floating-point state and put the caller's back.
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include <algorithm>

#include "cpu_scenarios.h"
#include "kernels/cpu/memory.h"

namespace autoglm {
namespace {

using test::AttentionInput;
using test::AttentionShape;
using test::isas_under_test;
using test::limits_for;
using test::Machine;
using test::ProductShape;
using test::random_values;
using test::random_weight;

#if defined(__x86_64__)
using State = unsigned;
constexpr State kFlags = 0x3f;  // what happened: no part of the state
State get_state() { return _mm_getcsr() & ~kFlags; }
void set_state(State state) { _mm_setcsr(state); }
// As a process starts; FTZ and DAZ; rounding up; towards zero, with FTZ alone.
constexpr State kStates[] = {0x1f80, 0x9fc0, 0x5f80, 0xff80};
#elif defined(__aarch64__)
using State = uint64_t;
State get_state() {
  State state = 0;
  asm volatile("mrs %0, fpcr" : "=r"(state));
  return state;
}
void set_state(State state) { asm volatile("msr fpcr, %0" ::"r"(state)); }
constexpr State kStates[] = {0, 1 << 24, 1 << 22, 3 << 22};
#endif

/// Runs `work` with the thread in every state and gives back the results; the state must survive it.
template <typename Work>
std::vector<std::vector<float>> in_every_state(Work work) {
  const State before = get_state();
  std::vector<std::vector<float>> results;
  for (const State state : kStates) {
    set_state(state);
    std::vector<float> result = work();
    const State after = get_state();
    set_state(before);
    EXPECT_EQ(after, state);
    results.push_back(std::move(result));
  }
  return results;
}

/// Values of every size around the smallest normal one, 1.2e-38.
std::vector<float> small_values(size_t n, uint32_t seed) {
  std::vector<float> values = random_values(n, seed);
  for (size_t i = 0; i < n; ++i) values[i] *= i % 3 == 0 ? 1e-37f : i % 3 == 1 ? 1e-40f : 1.0f;
  return values;
}

TEST(CpuFloatState, ProductsDoNotDependOnTheCallersState) {
  for (const Type type : {Type::f32, Type::f16, Type::bf16, Type::q4_1, Type::q6_k}) {
    const ProductShape shape{type, Precision::automatic, 40, 256};
    const std::vector<std::byte> bytes = random_weight(type, 40, 256, 1, 1e-3f);
    const std::vector<float> x = small_values(size_t{20} * 256, 2);
    for (const std::string& isa : isas_under_test()) {
      const auto product = [&](int threads, int64_t step) {
        Machine machine(isa, threads);
        return test::multiply(machine, shape, bytes, x, step);
      };
      const std::vector<float> expected = product(1, 20);
      for (int threads : {1, 3}) {
        for (const auto& got : in_every_state([&] { return product(threads, threads == 1 ? 20 : 7); })) {
          EXPECT_EQ(got, expected) << isa << " " << info(type).name << ", " << threads << " threads";
        }
      }
    }
  }
}

TEST(CpuFloatState, AttentionDoesNotDependOnTheCallersState) {
  for (const std::string& isa : isas_under_test()) {
    for (const KvType type : kKvTypes) {
      AttentionShape shape;
      shape.type = type;
      const AttentionInput input{small_values(static_cast<size_t>(30 * shape.heads * shape.key_dim), 3),
                                 small_values(static_cast<size_t>(30 * shape.kv_heads * shape.key_dim), 4),
                                 small_values(static_cast<size_t>(30 * shape.kv_heads * shape.value_dim), 5)};
      const auto run = [&](int threads) {
        Machine machine(isa, threads);
        return test::run_attention(machine, shape, {&input, 1}, {{{0, 17}}, {{0, 1}}, {{0, 12}}})[0];
      };
      const std::vector<float> expected = run(1);
      for (int threads : {1, 3}) {
        for (const auto& got : in_every_state([&] { return run(threads); })) EXPECT_EQ(got, expected) << isa;
      }
    }
  }
}

// A few rows are looked up by the caller alone, many by all workers.
TEST(CpuFloatState, DenormalsInAnEmbeddingCountAsZeroForEveryNumberOfRows) {
  std::vector<float> table(64 * 8, 1e-40f);
  std::vector<std::byte> bytes(table.size() * 4);
  std::memcpy(bytes.data(), table.data(), bytes.size());
  for (const std::string& isa : isas_under_test()) {
    for (int64_t rows : {1, 15, 16, 40}) {
      const auto look_up = [&] {
        Machine m(isa, 2);
        m.reserve(limits_for(rows, 64));
        const Weight weight = m.load(bytes, Type::f32, 8, 64, Precision::f32);
        const std::vector<int32_t> tokens(static_cast<size_t>(rows), 3);
        Buffer out = m.buffer(rows, 64);
        m->embed({&weight, tokens, 1e4f, &out});
        return m.read(out);
      };
      for (const auto& got : in_every_state(look_up)) EXPECT_THAT(got, testing::Each(0.0f)) << isa << " " << rows;
    }
  }
}

// What makes denormals cost nothing: they are zeros to every operation, read or made.
TEST(CpuFloatState, DenormalsCountAsZeroInProducts) {
  for (const std::string& isa : isas_under_test()) {
    const ProductShape shape{Type::f32, Precision::automatic, 33, 64};
    std::vector<float> weights(33 * 64, 1.0f);
    std::vector<std::byte> bytes(weights.size() * 4);
    std::memcpy(bytes.data(), weights.data(), bytes.size());
    Machine read(isa, 2), made(isa, 2);
    EXPECT_THAT(test::multiply(read, shape, bytes, std::vector<float>(64 * 5, 1e-39f), 5), testing::Each(0.0f)) << isa;
    std::fill(weights.begin(), weights.end(), 1e-20f);
    std::memcpy(bytes.data(), weights.data(), bytes.size());
    EXPECT_THAT(test::multiply(made, shape, bytes, std::vector<float>(64 * 5, 1e-20f), 5), testing::Each(0.0f)) << isa;
  }
}

TEST(CpuFloatState, IsPutBackWhenItsScopeEnds) {
  in_every_state([] {
    const State before = get_state();
    {
      const cpu::FlushDenormals flush;
      EXPECT_NE(get_state(), kStates[0]);
      volatile float small = 1e-39f;
      EXPECT_EQ(small * 1e30f, 0.0f);
    }
    EXPECT_EQ(get_state(), before);
    return std::vector<float>();
  });
}

}  // namespace
}  // namespace autoglm
