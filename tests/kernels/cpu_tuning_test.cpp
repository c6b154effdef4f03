// A tuning changes how fast a product is, and not one bit of it.
#include "cpu_scenarios.h"
#include "kernels/tuning.h"

namespace autoglm::test {
namespace {

constexpr int64_t kRows = 70, kCols = 256, kTokens = 40;

std::vector<float> product(Machine& m, const Weight& weight, const std::vector<float>& x, int64_t step) {
  std::vector<float> all;
  for (int64_t first = 0; first < kTokens; first += step) {
    const int64_t rows = std::min(step, kTokens - first);
    const Buffer in = m.buffer(rows, kCols, {x.begin() + first * kCols, x.begin() + (first + rows) * kCols});
    Buffer out = m.buffer(rows, kRows);
    m.begin(rows);
    const Projection projection{&weight, nullptr, &out};
    m->project({rows, &in, 0, nullptr, {&projection, 1}});
    const std::vector<float> part = m.read(out);
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

TEST(CpuTuning, EveryTuningGivesTheSameBits) {
  const std::vector<float> x = random_values(kTokens * kCols, 1);
  for (const std::string& isa : isas_under_test()) {
    for (const Type type : quantized_types()) {
      Machine m(isa, 2);
      m.reserve(limits_for(kTokens, kCols));
      const Weight weight = m.load(random_weight(type, kRows, kCols, 2), type, kRows, kCols, Precision::automatic);
      const std::vector<float> expected = product(m, weight, x, kTokens);
      for (const int32_t rows : {4, 7, 17, 1024}) {
        for (const int32_t prefetch : {0, 1 << 20}) {
          for (const bool tiles : {false, true}) {
            ShapeTuning tuning{rows, rows, prefetch};
            (tiles ? tuning.expand_rows : tuning.tile_rows) = 1024;
            m->tune(weight, tuning);
            for (const int64_t step : {2, 6, 16, 40}) {
              ASSERT_EQ(product(m, weight, x, step), expected)
                  << isa << " " << info(type).name << " from " << rows << " rows, by " << step;
            }
          }
        }
      }
    }
  }
}

TEST(CpuTuning, ChoicesChangeOneNumberAndNameRowsThatFeelIt) {
  for (const std::string& isa : isas_under_test()) {
    Machine m(isa);
    m.reserve(limits_for(4, 256));
    for (const Type type : {Type::q4_0, Type::q8_0, Type::q6_k}) {
      const Weight weight = m.load(random_weight(type, 40, 256, 3), type, 40, 256, Precision::automatic);
      const std::vector<TuningChoice> choices = m->tuning_choices(weight, {});
      EXPECT_FALSE(choices.empty()) << isa;
      for (const TuningChoice& choice : choices) {
        int changed = 0;
        for (const TuningField& field : tuning_fields()) {
          const int32_t value = choice.tuning.*field.value;
          changed += value != ShapeTuning{}.*field.value ? 1 : 0;
          EXPECT_GE(value, field.least);
          EXPECT_LE(value, field.most);
        }
        EXPECT_EQ(changed, 1) << isa;
        ASSERT_FALSE(choice.rows.empty());
        EXPECT_GE(*std::min_element(choice.rows.begin(), choice.rows.end()), 1);
        EXPECT_LE(*std::max_element(choice.rows.begin(), choice.rows.end()), kMostTunedRows);
      }
    }
    const Weight floats = m.load(random_weight(Type::f32, 40, 256, 4), Type::f32, 40, 256, Precision::automatic);
    EXPECT_TRUE(m->tuning_choices(floats, {}).empty());
  }
}

TEST(KernelTuning, AShapeHasWhatWasSetLastAndOthersTheDefault) {
  KernelTuning tuning;
  tuning.set({Type::q4_0, 64, 128, {4, 5, 6}});
  tuning.set({Type::q4_0, 64, 128, {7, 8, 9}});
  EXPECT_EQ(tuning.of(Type::q4_0, 64, 128), (ShapeTuning{7, 8, 9}));
  EXPECT_EQ(tuning.entries().size(), 1u);
  EXPECT_EQ(tuning.of(Type::q4_0, 128, 64), ShapeTuning{});
  EXPECT_EQ(tuning.of(Type::q4_1, 64, 128), ShapeTuning{});
}

}  // namespace
}  // namespace autoglm::test
