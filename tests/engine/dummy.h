// A model and a tokenizer that fit in a head: what they say is known, and any wrong token fed to them shows.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <stdexcept>

#include "engine/engine.h"
#include "model/kv_cache.h"

namespace autoglm::test {

/// Pages of a dummy's cache: a position's keys and values are its token.
class TokenStore final : public KvStore {
 public:
  explicit TokenStore(int64_t blocks) : tokens(static_cast<size_t>(blocks * kKvBlock), -1) {}
  int64_t blocks() const override { return std::ssize(tokens) / kKvBlock; }
  int64_t block_bytes() const override { return kKvBlock * sizeof(int32_t); }
  void copy_block(int32_t from, int32_t to) override {
    std::copy_n(tokens.begin() + from * kKvBlock, kKvBlock, tokens.begin() + to * kKvBlock);
  }
  void export_block(int32_t block, std::span<std::byte> out) const override {
    std::memcpy(out.data(), tokens.data() + block * kKvBlock, out.size());
  }
  void import_block(int32_t block, std::span<const std::byte> in) override {
    std::memcpy(tokens.data() + block * kKvBlock, in.data(), in.size());
  }
  std::vector<int32_t> tokens;
};

/// What a dummy says after a history.
inline void dummy_logits(std::span<const int32_t> history, std::span<float> logits) {
  uint64_t hash = 1469598103934665603ULL;
  for (const int32_t token : history) hash = (hash ^ static_cast<uint64_t>(token)) * 1099511628211ULL;
  for (float& logit : logits) {
    hash = hash * 6364136223846793005ULL + 1442695040888963407ULL;
    logit = static_cast<float>(hash >> 40) / static_cast<float>(1 << 22);
  }
}

/// Logits are a hash of every token that the sequence's pages hold: a lost, doubled or moved token, or a page shared
/// with the wrong sequence, changes the answer.
class DummyStepper : public Stepper {
 public:
  int64_t vocabulary_size = 50;
  int64_t context_size = 256;
  int64_t rows = 32;
  int64_t block_count = 64;
  int64_t logit_rows = 64;
  int64_t live_sequences = 0;
  int64_t steps = 0;
  int64_t rows_computed = 0;
  int64_t truncations = 0;
  int64_t most_sequences = 0;
  int64_t most_rows = 0;
  /// Called with each row's history; may change the logits or throw.
  std::function<void(const std::vector<int32_t>&, std::span<float>)> hook;
  /// Called with each batch before it is computed.
  std::function<void(const Batch&)> before_step;

  int64_t vocabulary() const override { return vocabulary_size; }
  int64_t context() const override { return context_size; }
  int64_t max_rows() const override { return rows; }
  int64_t max_logit_rows() const override { return logit_rows; }
  int64_t blocks() const override { return block_count; }
  SequenceId create() override {
    ++live_sequences;
    return kv().create();
  }
  void free(SequenceId id) override {
    --live_sequences;
    kv().free(id);
  }
  bool append(SequenceId id, int64_t tokens) override { return kv().append(id, tokens); }
  void truncate(SequenceId id, int64_t length) override {
    kv().truncate(id, length);
    ++truncations;
  }
  std::span<const int32_t> blocks_of(SequenceId id) const override { return kv_->blocks(id); }
  void adopt(SequenceId id, int32_t block) override { kv().adopt(id, block); }
  void replace(SequenceId id, int64_t index, int32_t block) override {
    const auto at = [&](int32_t page) { return store_->tokens.begin() + page * kKvBlock; };
    const int32_t own = kv().blocks(id)[static_cast<size_t>(index)];
    EXPECT_TRUE(std::equal(at(own), at(own) + kKvBlock, at(block))) << "a twin that is none";
    kv().replace(id, index, block);
  }
  void retain(int32_t block) override { kv().retain(block); }
  void unretain(int32_t block) override { kv().unretain(block); }
  int64_t block_bytes() const override { return kKvBlock * sizeof(int32_t); }
  void export_block(int32_t block, std::span<std::byte> out) const override { kv_->export_block(block, out); }
  int32_t import_block(std::span<const std::byte> bytes) override { return kv().import_retained(bytes); }
  std::string_view kv_type() const override { return "dummy"; }

  KvCache& kv() {
    if (!kv_) {  // made late: tests set block_count after construction
      auto store = std::make_unique<TokenStore>(block_count);
      store_ = store.get();
      kv_ = std::make_unique<KvCache>(std::move(store), 64);
    }
    return *kv_;
  }
  /// Of a row: how often each of the first tokens of the vocabulary is in its history, and the history's length.
  static constexpr int64_t kHidden = 8;
  int64_t hidden_size() const override { return kHidden; }
  std::span<const float> hidden(std::span<const int32_t> wanted) override {
    EXPECT_LE(static_cast<int64_t>(wanted.size()), logit_rows);
    hidden_.assign(wanted.size() * kHidden, 0.0f);
    for (size_t i = 0; i < wanted.size(); ++i) {
      float* out = &hidden_[i * kHidden];
      const std::vector<int32_t> history = history_of(wanted[i]);
      for (const int32_t token : history) out[token % (kHidden - 1)] += 0.1f;
      out[kHidden - 1] = static_cast<float>(history.size());
    }
    return hidden_;
  }
  std::span<const float> forward(const Batch& batch) override {
    ++steps;
    parts_.assign(batch.sequences.begin(), batch.sequences.end());
    if (before_step) before_step(batch);
    EXPECT_LE(static_cast<int64_t>(batch.logit_rows.size()), logit_rows);
    most_sequences = std::max(most_sequences, static_cast<int64_t>(batch.sequences.size()));
    most_rows = std::max(most_rows, static_cast<int64_t>(batch.tokens.size()));
    rows_computed += std::ssize(batch.tokens);
    logits_.assign(batch.logit_rows.size() * static_cast<size_t>(vocabulary_size), 0.0f);
    size_t out = 0;
    for (const BatchSequence& part : batch.sequences) {
      std::vector<int32_t> history = stored(part.sequence, kv().length(part.sequence) - part.rows);
      for (int64_t i = 0; i < part.rows; ++i) {
        const int64_t row = part.row_begin + i;
        page(part.sequence, history.size()) = batch.tokens[static_cast<size_t>(row)];
        history.push_back(batch.tokens[static_cast<size_t>(row)]);
        if (out == batch.logit_rows.size() || batch.logit_rows[out] != row) continue;
        const auto n = static_cast<size_t>(vocabulary_size);
        fill(history, std::span(logits_).subspan(out++ * n, n));
      }
    }
    EXPECT_EQ(out, batch.logit_rows.size()) << "a logit row that no sequence has";
    return logits_;
  }

 private:
  int32_t& page(SequenceId id, size_t position) {
    const int32_t block = kv_->blocks(id)[position / kKvBlock];
    return store_->tokens[static_cast<size_t>(block) * kKvBlock + position % kKvBlock];
  }
  std::vector<int32_t> stored(SequenceId id, int64_t length) {
    std::vector<int32_t> history;
    for (int64_t i = 0; i < length; ++i) history.push_back(page(id, static_cast<size_t>(i)));
    return history;
  }
  // Of a row of the last batch.
  std::vector<int32_t> history_of(int64_t row) {
    for (const BatchSequence& part : parts_) {
      if (row < part.row_begin || row >= part.row_begin + part.rows) continue;
      return stored(part.sequence, kv().length(part.sequence) - part.rows + row - part.row_begin + 1);
    }
    throw std::logic_error("no sequence has this row");
  }
  void fill(const std::vector<int32_t>& history, std::span<float> logits) const {
    dummy_logits(history, logits);
    if (hook) hook(history, logits);
  }

  TokenStore* store_ = nullptr;
  std::unique_ptr<KvCache> kv_;
  std::vector<float> logits_;
  std::vector<float> hidden_;
  std::vector<BatchSequence> parts_;  // of the last batch
};

/// Id i prints pieces[i]; `controls` print nothing.
class DummyTokenizer : public Tokenizer {
 public:
  std::vector<std::string> pieces;
  std::vector<int32_t> controls;

  DummyTokenizer() {
    for (int i = 0; i < 50; ++i) pieces.push_back(std::string(1, static_cast<char>('a' + i % 26)));
  }
  std::vector<int32_t> encode(std::string_view text, const EncodeOptions&) const override {
    std::vector<int32_t> ids;
    for (const char c : text) ids.push_back(c >= 'a' && c <= 'z' ? c - 'a' : 0);
    return ids;
  }
  std::string piece(int32_t id, bool special) const override {
    return kind(id) == TokenKind::control && !special ? "" : pieces.at(static_cast<size_t>(id));
  }
  std::string decode(std::span<const int32_t> ids, bool special) const override {
    std::string text;
    for (const int32_t id : ids) text += piece(id, special);
    return text;
  }
  int32_t size() const override { return static_cast<int32_t>(pieces.size()); }
  TokenKind kind(int32_t id) const override {
    return std::find(controls.begin(), controls.end(), id) == controls.end() ? TokenKind::normal : TokenKind::control;
  }
  std::optional<int32_t> find(std::string_view text) const override {
    const auto it = std::find(pieces.begin(), pieces.end(), text);
    return it == pieces.end() ? std::nullopt : std::optional(static_cast<int32_t>(it - pieces.begin()));
  }
  std::optional<int32_t> bos() const override { return {}; }
  std::optional<int32_t> eos() const override { return {}; }
  std::vector<int32_t> ends() const override { return {}; }
  bool adds_bos() const override { return false; }
  std::string description() const override { return "dummy"; }
  int64_t bytes() const override { return 0; }
};

/// Everything that one request said.
struct Heard {
  std::string text;
  std::string reasoning;
  std::vector<int32_t> tokens;
  std::vector<std::vector<TokenLogprob>> logprobs;
  FinishReason finish = FinishReason::none;
  std::optional<Error> error;
  Usage usage;
  int finishes = 0;
  int after_finish = 0;

  EventSink sink() {
    return [this](const Event& event) {
      if (finishes > 0) ++after_finish;
      if (event.kind == Event::Kind::text) text += event.text;
      if (event.kind == Event::Kind::reasoning) reasoning += event.text;
      tokens.insert(tokens.end(), event.tokens.begin(), event.tokens.end());
      logprobs.insert(logprobs.end(), event.logprobs.begin(), event.logprobs.end());
      if (event.kind != Event::Kind::finish) return;
      ++finishes;
      finish = event.finish;
      error = event.error;
      usage = event.usage;
    };
  }
};

inline void expect_same_bits(const Heard& got, const Heard& wanted) {
  EXPECT_EQ(got.tokens, wanted.tokens);
  EXPECT_EQ(got.text, wanted.text);
  ASSERT_EQ(got.logprobs.size(), wanted.logprobs.size());
  for (size_t i = 0; i < got.logprobs.size(); ++i) {
    ASSERT_EQ(got.logprobs[i].size(), wanted.logprobs[i].size());
    for (size_t j = 0; j < got.logprobs[i].size(); ++j) {
      EXPECT_EQ(got.logprobs[i][j].token, wanted.logprobs[i][j].token) << i;
      EXPECT_EQ(std::memcmp(&got.logprobs[i][j].logprob, &wanted.logprobs[i][j].logprob, sizeof(float)), 0) << i;
    }
  }
}

}  // namespace autoglm::test
