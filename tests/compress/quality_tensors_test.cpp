// Planted faults must be found and named, and honest rounding must not be called a fault.
#include "compress/quality_tensors.h"

#include <cmath>
#include <cstring>

#include "compress/altered_model.h"
#include "support/errors.h"

namespace autoglm {
namespace {

using test::AlteredModel;
using test::random_source;

const Type kTypes[] = {Type::bf16, Type::q8_0,   Type::q6_k, Type::q4_0,
                       Type::q4_k, Type::iq4_nl, Type::q3_k, Type::q2_k};

// Of each role and of several layers.
const char* const kTensors[] = {"token_embd.weight",     "blk.0.attn_q.weight",   "blk.1.attn_v.weight",
                                "blk.0.ffn_gate.weight", "blk.1.ffn_down.weight", "output.weight"};

class Faults : public testing::TestWithParam<Type> {
 protected:
  TensorComparison compare(const ModelSource& b) { return compare_tensors(*a_, b, pool_); }

  /// The only tensor at fault must be this one.
  static std::optional<TensorFault> only_fault(const TensorComparison& found, const std::string& tensor) {
    std::optional<TensorFault> fault;
    for (const TensorFigures& t : found.tensors) {
      if (t.name == tensor) {
        EXPECT_TRUE(t.fault) << tensor;
        fault = t.fault;
      } else {
        EXPECT_FALSE(t.fault) << "false alarm: " << t.name << " while the fault is in " << tensor;
      }
    }
    EXPECT_EQ(found.tensors[found.worst().front()].name, tensor);
    return fault;
  }

  WorkerPool pool_{{.threads = 2}};
  std::unique_ptr<ModelSource> a_ = random_source(test::tiny_llama(), Type::f32);
};

TEST_P(Faults, HonestRoundingIsNone) {
  for (const auto& shape : {test::tiny_llama(), test::tiny_gemma(), test::tiny_moe(), test::tiny_mla()}) {
    const auto a = random_source(shape, Type::f32, 11);
    const TensorComparison found = compare_tensors(*a, AlteredModel(*a, GetParam()), pool_);
    EXPECT_FALSE(found.tensors.empty());
    for (const TensorFigures& t : found.tensors) {
      EXPECT_FALSE(t.fault) << shape.name << " " << t.name << " error " << t.relative_error << " cosine " << t.cosine;
    }
  }
}

TEST_P(Faults, NoiseOfTheSizeOfTheRoundingIsNone) {
  // What GPTQ does to a weight: it moves by about a step of the grid to make up for others.
  const AlteredModel rounded(*a_, GetParam());
  size_t next = 0;
  uint64_t state = 5;
  const AlteredModel b(*a_, GetParam(), [&](const TensorEntry&, std::vector<float>& values) {
    const TensorEntry& other = rounded.tensors()[next++];
    std::vector<float> back(values.size());
    info(other.type).decode(other.data.data(), back.data(), other.elements());
    double error = 0;
    for (size_t i = 0; i < values.size(); ++i) error += (back[i] - values[i]) * (back[i] - values[i]);
    const double step = std::sqrt(error / static_cast<double>(values.size()));
    for (float& value : values) {
      state = state * 6364136223846793005U + 1442695040888963407U;
      value += static_cast<float>(step * (static_cast<double>(state >> 40) / (1 << 23) - 1));
    }
  });
  for (const TensorFigures& t : compare(b).tensors) EXPECT_FALSE(t.fault) << t.name;
}

TEST_P(Faults, ADoubledTensorIsNamed) {
  for (const std::string tensor : kTensors) {
    const AlteredModel b(*a_, GetParam(), [&](const TensorEntry& t, std::vector<float>& values) {
      if (t.name == tensor) {
        for (float& value : values) value *= 2;
      }
    });
    const std::optional<TensorFault> fault = only_fault(compare(b), tensor);
    ASSERT_TRUE(fault);
    EXPECT_EQ(fault->kind, TensorFaultKind::scaled);
    EXPECT_NEAR(fault->factor, 2, 0.2);
  }
}

TEST_P(Faults, ADoubledNormIsNamed) {
  const AlteredModel b(*a_, GetParam(), [](const TensorEntry& t, std::vector<float>& values) {
    if (t.name == "blk.1.ffn_norm.weight") {
      for (float& value : values) value *= 2;
    }
  });
  const std::optional<TensorFault> fault = only_fault(compare(b), "blk.1.ffn_norm.weight");
  ASSERT_TRUE(fault);
  EXPECT_NEAR(fault->factor, 2, 1e-3);
}

TEST_P(Faults, TwoSwappedTensorsAreNamed) {
  const std::string one = "blk.0.ffn_gate.weight", two = "blk.1.ffn_up.weight";
  const auto values_of = [&](const std::string& name) {
    const TensorEntry* t = a_->find(name);
    std::vector<float> values(static_cast<size_t>(t->elements()));
    info(t->type).decode(t->data.data(), values.data(), t->elements());
    return values;
  };
  const AlteredModel b(*a_, GetParam(), [&](const TensorEntry& t, std::vector<float>& values) {
    if (t.name == one) values = values_of(two);
    if (t.name == two) values = values_of(one);
  });
  int faults = 0;
  for (const TensorFigures& t : compare(b).tensors) {
    if (!t.fault) continue;
    ++faults;
    EXPECT_EQ(t.fault->kind, TensorFaultKind::swapped) << t.name;
    EXPECT_EQ(t.fault->other, t.name == one ? two : one);
  }
  EXPECT_EQ(faults, 2);
}

TEST_P(Faults, AZeroedBlockIsNamedAndLocated) {
  for (const std::string tensor : kTensors) {
    const AlteredModel b(*a_, GetParam(), [&](const TensorEntry& t, std::vector<float>& values) {
      if (t.name == tensor) std::fill_n(values.begin() + 5 * t.columns() + 96, 32, 0.0f);
    });
    const std::optional<TensorFault> fault = only_fault(compare(b), tensor);
    ASSERT_TRUE(fault);
    EXPECT_EQ(fault->kind, TensorFaultKind::blocks);
    EXPECT_EQ(fault->blocks, 1);
    EXPECT_EQ(fault->row, 5);
    EXPECT_EQ(fault->column, 96);
    EXPECT_NEAR(fault->factor, 0, 0.05);
  }
}

TEST_P(Faults, ADoubledBlockIsNamedAndLocated) {
  for (const std::string tensor : kTensors) {
    const AlteredModel b(*a_, GetParam(), [&](const TensorEntry& t, std::vector<float>& values) {
      if (t.name != tensor) return;
      for (int64_t i = 0; i < 32; ++i) values[static_cast<size_t>(9 * t.columns() + 160 + i)] *= 2;
    });
    const std::optional<TensorFault> fault = only_fault(compare(b), tensor);
    ASSERT_TRUE(fault);
    EXPECT_EQ(fault->kind, TensorFaultKind::blocks);
    EXPECT_EQ(fault->row, 9);
    EXPECT_EQ(fault->column, 160);
    EXPECT_NEAR(fault->factor, 2, 0.35);
  }
}

TEST_P(Faults, ABlockThatMovedSidewaysIsNone) {
  // GPTQ with few tokens to go by: some blocks move by 1.4 times themselves, in directions of others' making.
  const AlteredModel b(*a_, GetParam(), [](const TensorEntry& t, std::vector<float>& values) {
    if (t.name != "blk.0.ffn_gate.weight") return;
    uint64_t state = 7;
    for (int64_t row = 0; row < 8; ++row) {
      float* block = values.data() + row * t.columns() + 32 * row;
      std::vector<double> d(32);
      double own = 0, along = 0, moved = 0;
      for (size_t i = 0; i < 32; ++i) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        d[i] = static_cast<double>(state >> 40) / (1 << 23) - 1;
        own += static_cast<double>(block[i]) * static_cast<double>(block[i]);
        along += d[i] * static_cast<double>(block[i]);
      }
      for (size_t i = 0; i < 32; ++i) d[i] -= along / own * static_cast<double>(block[i]);
      for (const double x : d) moved += x * x;
      for (size_t i = 0; i < 32; ++i) block[i] += static_cast<float>(d[i] * std::sqrt(2 * own / moved));
    }
  });
  for (const TensorFigures& t : compare(b).tensors) EXPECT_FALSE(t.fault) << t.name;
}

TEST_P(Faults, ABlockOfOtherValuesIsNamedAndLocated) {
  const AlteredModel b(*a_, GetParam(), [](const TensorEntry& t, std::vector<float>& values) {
    if (t.name != "blk.1.attn_v.weight") return;
    std::swap_ranges(values.begin() + 3 * t.columns() + 64, values.begin() + 3 * t.columns() + 96,
                     values.begin() + 6 * t.columns() + 128);
  });
  const std::optional<TensorFault> fault = only_fault(compare(b), "blk.1.attn_v.weight");
  ASSERT_TRUE(fault);
  EXPECT_EQ(fault->kind, TensorFaultKind::blocks);
  EXPECT_EQ(fault->blocks, 2);
}

TEST_P(Faults, AnEmptyTensorIsNamed) {
  const AlteredModel b(*a_, GetParam(), [](const TensorEntry& t, std::vector<float>& values) {
    if (t.name == "blk.0.attn_k.weight") std::fill(values.begin(), values.end(), 0.0f);
  });
  const std::optional<TensorFault> fault = only_fault(compare(b), "blk.0.attn_k.weight");
  ASSERT_TRUE(fault);
  EXPECT_EQ(fault->kind, TensorFaultKind::zeroed);
}

std::string type_name(const testing::TestParamInfo<Type>& one) { return std::string(autoglm::info(one.param).name); }

INSTANTIATE_TEST_SUITE_P(Types, Faults, testing::ValuesIn(kTypes), type_name);

TEST(QualityTensors, TheScaleOfOneStoredBlockIsFound) {
  // In the file itself, where a bit of a scale's exponent has flipped.
  WorkerPool pool({.threads = 1});
  const auto a = random_source(test::tiny_llama(), Type::f32);
  const AlteredModel b(*a, Type::q4_0, {}, [](const TensorEntry& t, std::vector<std::byte>& bytes) {
    if (t.name != "blk.0.ffn_up.weight") return;
    uint16_t scale = 0;
    std::byte* at = bytes.data() + 37 * row_bytes(Type::q4_0, t.columns());
    std::memcpy(&scale, at, 2);
    scale = static_cast<uint16_t>(scale + 0x400);  // twice as much
    std::memcpy(at, &scale, 2);
  });
  const TensorComparison found = compare_tensors(*a, b, pool);
  const TensorFigures& worst = found.tensors[found.worst().front()];
  EXPECT_EQ(worst.name, "blk.0.ffn_up.weight");
  ASSERT_TRUE(worst.fault);
  EXPECT_EQ(worst.fault->row, 37);
  EXPECT_EQ(worst.fault->column, 0);
}

TEST(QualityTensors, WhatIsNoNumberNamesTensorAndFile) {
  WorkerPool pool({.threads = 2});
  const auto a = random_source(test::tiny_llama(), Type::f32);
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    for (const std::string tensor : {"blk.1.attn_output.weight", "blk.0.attn_norm.weight"}) {
      const AlteredModel b(*a, Type::f32, [&](const TensorEntry& t, std::vector<float>& values) {
        if (t.name == tensor) values[values.size() / 2] = bad;
      });
      EXPECT_ERROR(compare_tensors(*a, b, pool), Code::numeric, tensor);
      EXPECT_ERROR(compare_tensors(b, *a, pool), Code::numeric, "altered.gguf");
    }
  }
}

TEST(QualityTensors, TheSameWeightsDifferInNothing) {
  WorkerPool pool({.threads = 2});
  const auto a = random_source(test::tiny_moe(), Type::q4_0);
  for (const TensorFigures& t : compare_tensors(*a, *a, pool).tensors) {
    EXPECT_EQ(t.relative_error, 0);
    EXPECT_NEAR(t.cosine, 1, 1e-12);
    EXPECT_EQ(t.worst_block, 0);
  }
}

TEST(QualityTensors, ErrorsAreThoseOfADirectSum) {
  WorkerPool pool({.threads = 2});
  const auto a = random_source(test::tiny_llama(), Type::f32);
  const AlteredModel b(*a, Type::q4_0);
  for (const TensorFigures& t : compare_tensors(*a, b, pool).tensors) {
    const TensorEntry* x = a->find(t.name);
    const TensorEntry* y = b.find(t.name);
    std::vector<float> p(static_cast<size_t>(t.values)), q(p.size());
    info(x->type).decode(x->data.data(), p.data(), t.values);
    info(y->type).decode(y->data.data(), q.data(), t.values);
    long double squares = 0, error = 0;
    for (size_t i = 0; i < p.size(); ++i) {
      squares += static_cast<long double>(p[i]) * p[i];
      error += (static_cast<long double>(q[i]) - p[i]) * (static_cast<long double>(q[i]) - p[i]);
    }
    EXPECT_NEAR(t.relative_error, static_cast<double>(std::sqrt(error / squares)), 1e-9) << t.name;
    EXPECT_EQ(t.bytes_b, std::ssize(y->data));
  }
}

TEST(QualityTensors, ModelsOfOtherDepthAreComparedWhereTheyCan) {
  WorkerPool pool({.threads = 1});
  ModelShape shorter = test::tiny_llama();
  const std::string layers = "\"num_hidden_layers\":2";
  shorter.config.replace(shorter.config.find(layers), layers.size(), "\"num_hidden_layers\":1");
  const auto a = random_source(test::tiny_llama(), Type::f32);
  const auto b = random_source(shorter, Type::f32);
  const TensorComparison found = compare_tensors(*a, *b, pool);
  EXPECT_THAT(found.only_a, testing::Contains("blk.1.attn_q.weight"));
  EXPECT_TRUE(found.only_b.empty());
  EXPECT_FALSE(found.tensors.empty());
}

}  // namespace
}  // namespace autoglm
