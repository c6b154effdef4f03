// What the engine asks of a model and its cache. `ModelStepper` is the real one; tests put a dummy here.
#pragma once

#include <memory>
#include <span>

#include "model/memory_plan.h"
#include "model/model.h"

namespace autoglm {

class Stepper {
 public:
  virtual ~Stepper() = default;
  virtual int64_t vocabulary() const = 0;
  virtual int64_t context() const = 0;   // longest sequence
  virtual int64_t max_rows() const = 0;  // of a step
  /// Rows of a step that may need logits: at least one for each sequence; more allow speculation.
  virtual int64_t max_logit_rows() const = 0;
  /// Rows that are computed together: SchedulerLimits::row_tile.
  virtual int64_t row_tile() const { return 1; }
  virtual int64_t blocks() const = 0;  // KV blocks of kKvBlock tokens
  virtual SequenceId create() = 0;
  virtual void free(SequenceId id) = 0;
  virtual bool append(SequenceId id, int64_t tokens) = 0;
  virtual void truncate(SequenceId id, int64_t length) = 0;
  /// The numbers of a sequence's blocks, and how blocks are shared: see KvCache.
  virtual std::span<const int32_t> blocks_of(SequenceId id) const = 0;
  virtual void adopt(SequenceId id, int32_t block) = 0;
  virtual void replace(SequenceId id, int64_t index, int32_t block) = 0;
  virtual void retain(int32_t block) = 0;
  virtual void unretain(int32_t block) = 0;
  /// A full block's bytes, for a cache outside memory. Export may be called by any thread while others compute: nobody
  /// writes a full block that is retained. Import takes a free block, which is retained.
  virtual int64_t block_bytes() const = 0;
  virtual void export_block(int32_t block, std::span<std::byte> out) const = 0;
  virtual int32_t import_block(std::span<const std::byte> bytes) = 0;
  /// How keys and values are stored.
  virtual std::string_view kv_type() const = 0;
  /// Called once, after the first step: memory that later steps need may be taken now.
  virtual void settle() {}
  /// Logits of batch.logit_rows, [logit_rows, vocabulary], valid until the next call.
  virtual std::span<const float> forward(const Batch& batch) = 0;
  /// Final hidden states of rows of the last batch, at most max_logit_rows() of them: [rows, hidden_size()].
  virtual int64_t hidden_size() const = 0;
  virtual std::span<const float> hidden(std::span<const int32_t> rows) = 0;
};

class ModelStepper : public Stepper {
 public:
  explicit ModelStepper(Model& model) : model_(&model), kv_(model.make_kv_cache()) {}
  int64_t vocabulary() const override { return model_->spec().vocabulary; }
  int64_t context() const override { return model_->context(); }
  int64_t max_rows() const override { return model_->max_rows(); }
  int64_t max_logit_rows() const override { return model_->max_logit_rows(); }
  int64_t row_tile() const override { return model_->row_tile(); }
  int64_t blocks() const override { return kv_->total_blocks(); }
  SequenceId create() override { return kv_->create(); }
  void free(SequenceId id) override { kv_->free(id); }
  bool append(SequenceId id, int64_t tokens) override { return kv_->append(id, tokens); }
  void truncate(SequenceId id, int64_t length) override { kv_->truncate(id, length); }
  std::span<const int32_t> blocks_of(SequenceId id) const override { return kv_->blocks(id); }
  void adopt(SequenceId id, int32_t block) override { kv_->adopt(id, block); }
  void replace(SequenceId id, int64_t index, int32_t block) override { kv_->replace(id, index, block); }
  void retain(int32_t block) override { kv_->retain(block); }
  void unretain(int32_t block) override { kv_->unretain(block); }
  int64_t block_bytes() const override { return kv_->block_bytes(); }
  void export_block(int32_t block, std::span<std::byte> out) const override { kv_->export_block(block, out); }
  int32_t import_block(std::span<const std::byte> bytes) override { return kv_->import_retained(bytes); }
  std::string_view kv_type() const override { return name(model_->kv_type()); }
  void settle() override { model_->settle(); }
  std::span<const float> forward(const Batch& batch) override { return model_->forward(batch, *kv_); }
  int64_t hidden_size() const override { return model_->spec().hidden; }
  std::span<const float> hidden(std::span<const int32_t> rows) override { return model_->hidden(rows); }

 private:
  Model* model_;
  std::unique_ptr<KvCache> kv_;
};

}  // namespace autoglm
