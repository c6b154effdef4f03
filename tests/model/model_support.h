// Running small models in tests: checkpoints of tests/data/models, all rows' logits, distances between logits.
#pragma once

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/error.h"
#include "format/model_source.h"
#include "model/model.h"
#include "support/npy.h"
#include "support/temporary_folder.h"

namespace autoglm::test {

namespace fs = std::filesystem;

inline Runtime test_runtime(std::string_view isa, int threads = 1, int64_t memory_limit = 0) {
  Runtime runtime;
  runtime.ledger = std::make_unique<Ledger>(memory_limit);
  PoolOptions pool;
  pool.threads = threads;
  runtime.pool = std::make_unique<WorkerPool>(pool);
  runtime.backend = make_backend(isa, *runtime.pool);
  return runtime;
}

/// Of a test for each of golden_names().
inline std::string test_name(const ::testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

struct Golden {
  std::string name;
  std::vector<int32_t> tokens;
  std::vector<int64_t> lengths;
  std::vector<float> logits;  // [tokens, vocabulary]
  int64_t vocabulary = 0;
};

inline fs::path models_folder() { return fs::path(AUTOGLM_TEST_DATA) / "models"; }

inline std::vector<std::string> golden_names() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(models_folder())) {
    if (fs::exists(entry.path() / "golden.json")) names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

inline Golden read_golden(const std::string& name) {
  Golden golden;
  golden.name = name;
  std::ifstream file(models_folder() / name / "golden.json");
  const auto json = nlohmann::json::parse(file);
  golden.tokens = json.at("tokens").get<std::vector<int32_t>>();
  golden.lengths = json.at("lengths").get<std::vector<int64_t>>();
  Npy npy = read_npy((models_folder() / name / "logits.npy").string());
  golden.vocabulary = npy.shape.at(1);
  golden.logits = std::move(npy.values);
  return golden;
}

/// The checkpoint with `config` (config.json or config.flat.json) in the place of config.json.
inline std::shared_ptr<const ModelSource> open_golden(const std::string& name, const std::string& config,
                                                      const fs::path& scratch) {
  const fs::path folder = scratch / (name + "-" + config);
  if (fs::exists(folder)) return open_model(folder);
  fs::create_directories(folder);
  for (const auto& entry : fs::directory_iterator(models_folder() / name)) {
    const std::string file = entry.path().filename().string();
    if (file.find(".safetensors") != std::string::npos) fs::create_symlink(entry.path(), folder / file);
  }
  fs::copy_file(models_folder() / name / config, folder / "config.json");
  return open_model(folder);
}

struct RunOptions {
  Precision precision = Precision::f32;
  KvType kv_type = KvType::f32;
  int64_t chunk = 0;  // rows a step; 0: all at once
};

inline LoadOptions load_options(const RunOptions& run, int64_t rows) {
  LoadOptions options;
  options.precision = run.precision;
  options.kv_type = run.kv_type;
  options.context = rows;
  options.batch_rows = rows;
  options.logit_rows = rows;
  return options;
}

/// Logits of every token, in chunks of `chunk` rows.
inline std::vector<float> all_logits(Model& model, KvCache& kv, std::span<const int32_t> tokens, int64_t chunk = 0) {
  std::vector<float> out;
  const SequenceId id = kv.create();
  const auto total = std::ssize(tokens);
  for (int64_t begin = 0; begin < total; begin += chunk > 0 ? chunk : total) {
    const int64_t rows = std::min(chunk > 0 ? chunk : total, total - begin);
    AUTOGLM_CHECK(kv.append(id, rows), "the test's cache is too small");
    std::vector<int32_t> wanted(static_cast<size_t>(rows));
    std::iota(wanted.begin(), wanted.end(), 0);
    const BatchSequence sequence{.sequence = id, .row_begin = 0, .rows = rows};
    Batch batch;
    batch.tokens = tokens.subspan(static_cast<size_t>(begin), static_cast<size_t>(rows));
    batch.sequences = {&sequence, 1};
    batch.logit_rows = wanted;
    const auto logits = model.forward(batch, kv);
    out.insert(out.end(), logits.begin(), logits.end());
  }
  kv.free(id);
  return out;
}

inline std::vector<float> run_tokens(std::shared_ptr<const ModelSource> source, std::string_view isa,
                                     std::span<const int32_t> tokens, const RunOptions& run = {}, int threads = 1) {
  Runtime runtime = test_runtime(isa, threads);
  const auto model = Model::load(std::move(source), runtime, load_options(run, std::ssize(tokens)));
  const auto kv = model->make_kv_cache();
  return all_logits(*model, *kv, tokens, run.chunk);
}

/// The largest difference, in standard deviations of the expected logits.
inline double max_error(std::span<const float> got, std::span<const float> expected) {
  double sum = 0, squares = 0, worst = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    sum += expected[i];
    squares += double{expected[i]} * expected[i];
    const double difference = std::abs(double{got[i]} - expected[i]);
    worst = difference >= worst ? difference : (std::isnan(difference) ? INFINITY : worst);
  }
  const double n = static_cast<double>(expected.size());
  return worst / std::sqrt(squares / n - (sum / n) * (sum / n));
}

inline std::vector<double> log_softmax(std::span<const float> row) {
  const double top = *std::max_element(row.begin(), row.end());
  double sum = 0;
  for (float value : row) sum += std::exp(value - top);
  std::vector<double> out;
  for (float value : row) out.push_back(value - top - std::log(sum));
  return out;
}

/// Mean over the rows of KL(expected || got), in nats.
inline double mean_kld(std::span<const float> got, std::span<const float> expected, int64_t vocabulary) {
  const auto v = static_cast<size_t>(vocabulary);
  double total = 0;
  for (size_t row = 0; row * v < expected.size(); ++row) {
    const auto p = log_softmax(expected.subspan(row * v, v));
    const auto q = log_softmax(got.subspan(row * v, v));
    for (size_t i = 0; i < v; ++i) total += std::exp(p[i]) * (p[i] - q[i]);
  }
  return total / (static_cast<double>(expected.size()) / static_cast<double>(v));
}

}  // namespace autoglm::test
