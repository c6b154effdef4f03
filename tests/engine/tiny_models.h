// Real layers with few weights, for what must not change a bit on any kind of them.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "engine/dummy.h"
#include "engine/engine.h"
#include "model/runtime.h"

namespace autoglm::test {

struct TinyModel {
  const char* name;
  Precision precision;
  KvType kv_type;
};

class TinyModelTest : public testing::TestWithParam<TinyModel> {
 protected:
  TinyModelTest() : runtime_(make_runtime({.threads = 1, .memory_limit = 0, .isa = "auto", .pin = false, .cpus = {}})) {
    LoadOptions options;
    options.precision = GetParam().precision;
    options.kv_type = GetParam().kv_type;
    options.context = 112;
    options.batch_sequences = 4;
    options.batch_rows = 48;
    options.logit_rows = 4 + kMostDraft;
    model_ = Model::load(open_model(std::filesystem::path(AUTOGLM_TEST_DATA) / "models" / GetParam().name), runtime_,
                         options);
    tokenizer_.pieces.resize(static_cast<size_t>(model_->spec().vocabulary), "x");
  }

  /// `common` tokens that all have, then the request's own.
  Request request(int64_t common, int64_t own, uint64_t seed, int64_t most) const {
    Request result;
    const auto token = [this](uint64_t n) {
      return static_cast<int32_t>((n * 2654435761U >> 7) % static_cast<uint64_t>(model_->spec().vocabulary));
    };
    for (int64_t i = 0; i < common; ++i) result.prompt.push_back(token(static_cast<uint64_t>(i)));
    for (int64_t i = 0; i < own; ++i) result.prompt.push_back(token(1000 * seed + static_cast<uint64_t>(i)));
    result.max_tokens = most;
    result.sampling.temperature = seed % 2 == 0 ? 0.0f : 0.7f;
    result.sampling.seed = seed;
    result.sampling.logprobs = 4;
    return result;
  }

  Runtime runtime_;
  std::unique_ptr<Model> model_;
  DummyTokenizer tokenizer_;
};

inline std::string tiny_model_name(const testing::TestParamInfo<TinyModel>& it) {
  std::string text = it.param.name;
  std::ranges::replace(text, '-', '_');
  return text + "_" + std::string(name(it.param.kv_type));
}

}  // namespace autoglm::test
