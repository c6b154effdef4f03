#include "compress/sensitivity.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <map>
#include <numeric>
#include <random>

#include "compress/altered_model.h"
#include "compress/cost_file.h"
#include "compress/grid.h"
#include "compress/probe.h"
#include "compress/quantize.h"
#include "compress/random_windows.h"
#include "compress/sums.h"
#include "model/families/family.h"
#include "model/model_support.h"
#include "support/temporary_folder.h"

namespace autoglm {
namespace {

using test::random_windows;
using Windows = std::vector<std::vector<int32_t>>;

/// Each value to the nearest, all columns alike: what quantize's rtn does.
EncodedTensor plain(const LocatedTensor& t) {
  constexpr Type kType = Type::q4_0;
  std::vector<std::byte> source(static_cast<size_t>(t.bytes()));
  t.copy_to(source.data());
  std::vector<float> values(static_cast<size_t>(t.shape.elements()));
  info(t.type).decode(source.data(), values.data(), t.shape.elements());
  EncodedTensor out{.type = kType, .bytes = {}};
  out.bytes.resize(values.size() / 32 * static_cast<size_t>(info(kType).block_bytes));
  encode_row(*grid_of(kType), values.data(), nullptr, t.shape.elements(), out.bytes.data());
  return out;
}

/// Log-probabilities of the rows that a probe scores.
std::vector<double> scored_logs(const std::shared_ptr<const ModelSource>& source, const Windows& windows,
                                int64_t vocabulary) {
  Runtime runtime = test::test_runtime("auto");
  const auto model = Model::load(source, runtime, test::load_options({}, std::ssize(windows[0])));
  std::vector<double> out;
  for (const auto& window : windows) {
    const auto kv = model->make_kv_cache();
    const std::vector<float> logits = test::all_logits(*model, *kv, window);
    for (int64_t r = std::ssize(window) - Probe::scored_of(std::ssize(window)); r < std::ssize(window); ++r) {
      const std::span row =
          std::span(logits).subspan(static_cast<size_t>(r * vocabulary), static_cast<size_t>(vocabulary));
      double mass = 0;
      for (const float z : row) mass += std::exp(static_cast<double>(z));
      for (const float z : row) out.push_back(static_cast<double>(z) - std::log(mass));
    }
  }
  return out;
}

double divergence_of(const std::vector<double>& p, const std::vector<double>& q, int64_t vocabulary) {
  double sum = 0;
  for (size_t i = 0; i < p.size(); ++i) sum += std::exp(p[i]) * (p[i] - q[i]);
  return sum / (static_cast<double>(p.size()) / static_cast<double>(vocabulary));
}

struct Sensitivity : ::testing::Test {
  test::TemporaryFolder folder;

  /// A file in which only these tensors are rounded.
  std::shared_ptr<const ModelSource> with_rounded(const ModelSource& source, const std::vector<std::string>& names) {
    QuantizeOptions options;
    options.recipe = {.matrix = Type::f32, .tensors = {}};
    for (const std::string& name : names) options.recipe.tensors.emplace_back(name, Type::q4_0);
    Runtime runtime = test::test_runtime("auto");
    const auto path = folder.path() / "rounded.gguf";
    quantize_model(source, runtime, path, options);
    return open_model(path);
  }
};

// Each set of maps alone, against a whole model with only these rounded: through all layers together, in one round and
// in many.
TEST_F(Sensitivity, DivergencesAreThoseOfWholeModels) {
  for (const std::string& name : test::golden_names()) {
    if (name.starts_with("chatglm")) continue;  // has no GGUF of its own
    const auto source = test::open_golden(name, "config.json", folder.path());
    const int64_t vocabulary = test::read_golden(name).vocabulary;
    const Windows windows = random_windows(vocabulary, 4);
    std::vector<std::map<size_t, double>> rounds;
    for (const int64_t room : {Probe::kRoom, int64_t{1}}) {
      Runtime runtime = test::test_runtime("auto", 2);
      Probe probe(*source, runtime, windows, {}, room);
      probe.baseline();
      std::vector<size_t> wanted;
      for (size_t i = 0; i < probe.groups().size(); ++i) {
        const auto& tensors = probe.groups()[i].maps.tensors;
        if (std::ranges::all_of(tensors, [](const LocatedTensor* t) { return t->shape.cols % 32 == 0; }))
          wanted.push_back(i);
      }
      if (wanted.empty()) break;
      std::map<size_t, double>& round = rounds.emplace_back();
      probe.measure(
          wanted, [](const LocatedTensor& t, const std::vector<float>&) { return plain(t); },
          [&](size_t group, double divergence) { round[group] = divergence; });
      if (room != Probe::kRoom) continue;
      const std::vector<double> expected = scored_logs(source, windows, vocabulary);
      for (const auto& [group, divergence] : rounds.front()) {
        std::vector<std::string> names;
        for (const LocatedTensor* t : probe.groups()[group].maps.tensors) {
          names.push_back(gguf_name(probe.runner().spec(), *t->row, t->layer));
        }
        if (probe.runner().spec().gguf_fused_gate_up && names.size() > 1) continue;  // their names are one
        const double whole =
            divergence_of(expected, scored_logs(with_rounded(*source, names), windows, vocabulary), vocabulary);
        // Where a router chooses, BF16 can tip a choice that was close.
        const double part = probe.runner().spec().router.experts > 0 ? 0.5 : 0.15;
        EXPECT_NEAR(divergence, whole, part * whole + 2e-5) << name << " " << names.front();
      }
    }
    if (rounds.size() == 2) EXPECT_EQ(rounds[0], rounds[1]) << name;
  }
}

TEST_F(Sensitivity, ChoosesFinerTypesForMoreBytes) {
  const auto source = test::open_golden("llama-b", "config.json", folder.path());
  Runtime runtime = test::test_runtime("auto");
  SensitivityOptions options;
  options.windows = random_windows(192, 4);
  options.file = folder.path() / "costs.json";
  const std::vector<TensorCost> costs = measure_sensitivity(*source, runtime, options);
  int64_t least = 0;
  int64_t most = 0;
  for (const TensorCost& tensor : costs) {
    ASSERT_FALSE(tensor.types.empty()) << tensor.name;
    EXPECT_LT(tensor.types.back().divergence, tensor.types.front().divergence) << tensor.name;
    least += tensor.types.front().bytes;
    most += tensor.types.back().bytes;
  }
  double before = 1e30;
  for (const int64_t budget : {least, (least + most) / 2, most}) {
    const Recipe recipe = choose_recipe(costs, budget);
    double divergence = 0;
    int64_t bytes = 0;
    for (const TensorCost& tensor : costs) {
      const auto chosen = std::ranges::find(tensor.types, recipe.type_of(tensor.name), &TypeCost::type);
      divergence += chosen->divergence;
      bytes += chosen->bytes;
    }
    EXPECT_LE(bytes, budget);
    EXPECT_LT(divergence, before);
    before = divergence;
  }
  EXPECT_THROW(choose_recipe(costs, least - 1), Error);

  // The same from the file, without a model being run; another text is measured anew.
  SensitivityOptions again = options;
  again.check = [] { fail(Code::interrupted, "nothing is to be computed"); };
  const std::vector<TensorCost> kept = measure_sensitivity(*source, runtime, again);
  ASSERT_EQ(kept.size(), costs.size());
  for (size_t i = 0; i < kept.size(); ++i) EXPECT_EQ(kept[i].types[0].divergence, costs[i].types[0].divergence);
  again.windows[0][0] ^= 1;
  EXPECT_THROW(measure_sensitivity(*source, runtime, again), Error);
}

// llama.cpp rounds the inputs of such types with one scale for 256 columns: one large column costs all the others.
TEST_F(Sensitivity, BlocksOf256ColumnsCostMoreWhereAnInputIsLarge) {
  const auto random = test::random_source(test::tiny_llama(), Type::f32);
  SensitivityOptions options;
  options.windows = random_windows(256, 4);
  const auto finer = [&](float large) {  // whether 6.6 bits cost less than 6
    const test::AlteredModel model(*random, Type::f32, [&](const TensorEntry& tensor, std::vector<float>& values) {
      if (tensor.name == "blk.0.ffn_norm.weight") values[5] *= large;
    });
    Runtime runtime = test::test_runtime("auto");
    const std::vector<TensorCost> costs = measure_sensitivity(model, runtime, options);
    const auto gate = std::ranges::find(costs, "blk.0.ffn_gate.weight", &TensorCost::name);
    const auto of = [&](Type type) { return std::ranges::find(gate->types, type, &TypeCost::type)->divergence; };
    return of(Type::q6_k) < of(Type::q5_1);
  };
  EXPECT_TRUE(finer(1.0f));
  EXPECT_FALSE(finer(100.0f));
}

TEST_F(Sensitivity, GoesOnAfterAnInterruption) {
  const auto source = test::open_golden("llama-b", "config.json", folder.path());
  Runtime runtime = test::test_runtime("auto");
  SensitivityOptions options;
  options.windows = random_windows(192, 4);
  const std::vector<TensorCost> expected = measure_sensitivity(*source, runtime, options);
  options.file = folder.path() / "costs.json";
  CostFile some;  // as after the first round
  measure_sensitivity(*source, runtime, options);
  std::ifstream in(options.file);
  CostFile whole = parse_costs(std::string{std::istreambuf_iterator<char>(in), {}}, "costs");
  ASSERT_GT(whole.divergences.size(), 2u);
  some.key = whole.key;
  for (auto it = whole.divergences.begin(); some.divergences.size() < whole.divergences.size() / 2; ++it) {
    some.divergences.insert(*it);
  }
  write_costs(options.file, some);
  int64_t encoded = 0;
  options.progress = [&](std::string_view, int64_t, int64_t) { ++encoded; };
  const std::vector<TensorCost> resumed = measure_sensitivity(*source, runtime, options);
  EXPECT_GT(encoded, 0);
  ASSERT_EQ(resumed.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(resumed[i].types[0].divergence, expected[i].types[0].divergence) << expected[i].name;
  }
}

TEST(CostFile, WhatIsNoneIsRefused) {
  for (const char* text :
       {"", "[]", "{}", R"({"measured": 1})", R"({"measured": "x", "divergences": {"a": "b"}, "tensors": []})",
        R"({"measured": "x", "divergences": {"a": -1}, "tensors": []})",
        R"({"measured": "x", "divergences": {}, "tensors": [{"name": "a", "values": 1, "types": []}]})",
        R"({"measured": "x", "divergences": {}, "tensors": [{"name": "a", "values": 1,
            "types": [{"type": "Q9", "bytes": 1, "divergence": 0}]}]})"}) {
    EXPECT_THROW(parse_costs(text, "costs"), Error) << text;
  }
  CostFile costs;
  costs.key = "k";
  costs.divergences["a"] = 0.25;
  costs.tensors.push_back({.name = "a", .values = 32, .types = {{Type::q8_0, 34, 0.5}}});
  EXPECT_EQ(costs_text(parse_costs(costs_text(costs), "costs")), costs_text(costs));
}

TEST(Sums, LogSumExpAndDot) {
  std::mt19937 random(3);
  std::normal_distribution<float> draw(0.0f, 6.0f);
  for (const int64_t n : {1, 15, 16, 17, 1000, 5000}) {
    std::vector<float> x(static_cast<size_t>(n));
    std::vector<float> y(x.size());
    for (float& v : x) v = draw(random);
    for (float& v : y) v = draw(random);
    double mass = 0;
    for (const float v : x) mass += std::exp(static_cast<double>(v));
    EXPECT_NEAR(log_sum_exp(x.data(), n), std::log(mass), 1e-6) << n;
    const double product = std::inner_product(x.begin(), x.end(), y.begin(), 0.0);
    EXPECT_NEAR(dot(x.data(), y.data(), n), product, 1e-4) << n;
    x[0] = INFINITY;
    EXPECT_FALSE(std::isfinite(log_sum_exp(x.data(), n)));
    x[0] = NAN;
    EXPECT_FALSE(std::isfinite(log_sum_exp(x.data(), n)));
  }
}

}  // namespace
}  // namespace autoglm
