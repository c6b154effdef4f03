// The two real models against the exact float32 forward pass (tests/data/real, tools/make_real_goldens.py): the golden
// holds the final normed hidden states, which are multiplied by the head here.
#include <cstring>

#include "model/model_support.h"
#include "support/sanitized.h"

namespace autoglm::test {
namespace {

constexpr int64_t kChunk = 64;

struct RealModel {
  const char* golden;
  const char* file;
  double auto_limit;  // what llama.cpp's own 8-bit activations cost by this measure
};

/// Distances from the golden, summed over positions.
struct Distance {
  double kld = 0;
  int64_t other_top = 0;
  int64_t positions = 0;
};

typedef float Four __attribute__((vector_size(16)));

// The sum has a fixed order; float32 is enough for a golden that is compared at 1e-4.
float dot(const float* a, const float* b, int64_t n) {
  Four sum[4] = {};
  for (int64_t i = 0; i < n; i += 16) {
    for (int j = 0; j < 4; ++j) {
      Four x, y;
      std::memcpy(&x, a + i + 4 * j, sizeof(x));
      std::memcpy(&y, b + i + 4 * j, sizeof(y));
      sum[j] += x * y;
    }
  }
  const Four total = (sum[0] + sum[1]) + (sum[2] + sum[3]);
  return (total[0] + total[1]) + (total[2] + total[3]);
}

// logits[p, row] = hidden[p] . head[row], the head decoded a row at a time.
void exact_logits(const TensorEntry& head, std::span<const float> hidden, int64_t positions, WorkerPool& pool,
                  std::vector<float>& logits) {
  const int64_t cols = head.columns();
  AUTOGLM_CHECK(cols % 16 == 0, "dot() takes 16 values at a time");
  logits.resize(static_cast<size_t>(positions * head.rows()));
  pool.parallel_for(head.rows(), 1024, [&](int64_t begin, int64_t end) {
    std::vector<float> row(static_cast<size_t>(cols));
    for (int64_t r = begin; r < end; ++r) {
      info(head.type).decode(head.data.data() + r * row_bytes(head.type, cols), row.data(), cols);
      for (int64_t p = 0; p < positions; ++p) {
        logits[static_cast<size_t>(p * head.rows() + r)] = dot(hidden.data() + p * cols, row.data(), cols);
      }
    }
  });
}

double log_sum(std::span<const float> row, float top) {
  double sum = 0;
  for (float value : row) sum += std::exp(value - top);
  return top + std::log(sum);
}

void add_distance(std::span<const float> got, std::span<const float> expected, int64_t vocabulary, WorkerPool& pool,
                  Distance& out) {
  const auto v = static_cast<size_t>(vocabulary);
  const auto positions = static_cast<int64_t>(expected.size() / v);
  std::vector<double> kld(static_cast<size_t>(positions));
  std::vector<char> other(static_cast<size_t>(positions));
  pool.parallel_for(positions, 1, [&](int64_t begin, int64_t end) {
    for (auto p = static_cast<size_t>(begin); p < static_cast<size_t>(end); ++p) {
      const auto e = expected.subspan(p * v, v), g = got.subspan(p * v, v);
      const auto e_top = std::max_element(e.begin(), e.end());
      const auto g_top = std::max_element(g.begin(), g.end());
      const double e_sum = log_sum(e, *e_top), g_sum = log_sum(g, *g_top);
      for (size_t i = 0; i < v; ++i) kld[p] += std::exp(e[i] - e_sum) * ((e[i] - e_sum) - (g[i] - g_sum));
      other[p] = e_top - e.begin() != g_top - g.begin();
    }
  });
  out.kld += std::accumulate(kld.begin(), kld.end(), 0.0);
  out.other_top += std::accumulate(other.begin(), other.end(), int64_t{0});
  out.positions += positions;
}

// A model that runs the golden's tokens chunk by chunk.
class Runner {
 public:
  Runner(std::shared_ptr<const ModelSource> source, std::string_view isa, Precision precision, KvType kv_type)
      : runtime_(test_runtime(isa, 2)) {
    LoadOptions options;
    options.precision = precision;
    options.kv_type = kv_type;
    options.context = 384;
    options.batch_rows = options.logit_rows = kChunk;
    model_ = Model::load(std::move(source), runtime_, options);
    kv_ = model_->make_kv_cache();
    sequence_ = kv_->create();
  }

  std::span<const float> step(std::span<const int32_t> tokens) {
    const auto rows = std::ssize(tokens);
    AUTOGLM_CHECK(kv_->append(sequence_, rows), "the cache is too small");
    std::vector<int32_t> wanted(static_cast<size_t>(rows));
    std::iota(wanted.begin(), wanted.end(), 0);
    const BatchSequence sequence{.sequence = sequence_, .row_begin = 0, .rows = rows};
    Batch batch;
    batch.tokens = tokens;
    batch.sequences = {&sequence, 1};
    batch.logit_rows = wanted;
    return model_->forward(batch, *kv_);
  }

 private:
  Runtime runtime_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<KvCache> kv_;
  SequenceId sequence_ = 0;
};

struct Run {
  std::string what;
  std::unique_ptr<Runner> runner;
  double limit;
  int64_t most_other_top;  // -1: any
  Distance distance;
};

void expect_close(const RealModel& real, const std::vector<std::string_view>& isas) {
  const fs::path file = fs::path(AUTOGLM_ORACLE_DIR) / real.file;
  ASSERT_TRUE(fs::exists(file)) << file << ": tools/fetch_test_data.sh brings it";
  const std::shared_ptr<const ModelSource> source = open_model(file);
  const TensorEntry* head = source->find("output.weight");
  if (!head) head = source->find("token_embd.weight");
  std::ifstream json_file(fs::path(AUTOGLM_TEST_DATA) / "real" / (std::string(real.golden) + ".json"));
  const auto tokens = nlohmann::json::parse(json_file).at("tokens").get<std::vector<int32_t>>();
  const Npy hidden = read_npy((fs::path(AUTOGLM_TEST_DATA) / "real" / (std::string(real.golden) + ".npy")).string());
  ASSERT_EQ(hidden.shape, (std::vector<int64_t>{std::ssize(tokens), head->columns()}));

  std::vector<Run> runs;
  for (std::string_view isa : isas) {
    const std::string on = " on " + std::string(isa);
    runs.push_back({"f32" + on, std::make_unique<Runner>(source, isa, Precision::f32, KvType::f32), 1e-4, 1, {}});
    runs.push_back({"auto" + on,
                    std::make_unique<Runner>(source, isa, Precision::automatic, KvType::q8),
                    real.auto_limit,
                    -1,
                    {}});
  }
  WorkerPool pool({.threads = 2});
  std::vector<float> expected;
  for (int64_t begin = 0; begin < std::ssize(tokens); begin += kChunk) {
    const int64_t rows = std::min(kChunk, std::ssize(tokens) - begin);
    const auto states = std::span(hidden.values).subspan(static_cast<size_t>(begin * head->columns()));
    exact_logits(*head, states, rows, pool, expected);
    for (Run& run : runs) {
      const auto got =
          run.runner->step(std::span(tokens).subspan(static_cast<size_t>(begin), static_cast<size_t>(rows)));
      add_distance(got, expected, head->rows(), pool, run.distance);
    }
  }
  for (const Run& run : runs) {
    const double mean = run.distance.kld / static_cast<double>(run.distance.positions);
    std::printf("%s %s: mean KLD %.3g, other top token %ld of %ld\n", real.golden, run.what.c_str(), mean,
                static_cast<long>(run.distance.other_top), static_cast<long>(run.distance.positions));
    EXPECT_LT(mean, run.limit) << real.golden << ' ' << run.what;
    if (run.most_other_top >= 0) {
      EXPECT_LE(run.distance.other_top, run.most_other_top) << run.what;
    }
  }
}

TEST(RealModel, SmolLM2AgreesWithTheExactForwardPass) {
  std::vector<std::string_view> isas = usable_isas();
  isas.pop_back();  // the reference backend would take minutes; the other tests have it
  ASSERT_FALSE(isas.empty());
  if (test::kSanitized) isas.resize(1);  // ten times slower: of the other ISAs the kernels' own tests are enough
  expect_close({"smollm2", "smollm2-135m-q4_1.gguf", 0.0035}, isas);
}

TEST(RealModel, Gemma3AgreesWithTheExactForwardPass) {
  expect_close({"gemma3", "gemma3-270m-q4_k_m.gguf", 0.0047}, {usable_isas().front()});
}

}  // namespace
}  // namespace autoglm::test
