// Scales for the channels of a model that is being quantized, found site by site for the matrices that read them.
#pragma once

#include <functional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/pool.h"
#include "compress/scaling.h"
#include "compress/tensor_store.h"
#include "model/channel_scales.h"

namespace autoglm {

/// A matrix that is to be rounded, as far as its inputs' scales depend on it.
struct ReaderPlan {
  const LocatedTensor* tensor = nullptr;
  Type type = Type::f32;
  const Grid* grid = nullptr;  // null: the type is not quantized
  // One a column, or one a column of each matrix of the stack.
  std::vector<float> squares;  // mean square of the inputs
  std::vector<float> cost;     // of a squared error of 1
  bool weighted = true;        // as ScaledReader
};

class ScaleSearch {
 public:
  using TypeOf = std::function<Type(const LocatedTensor&)>;

  /// `type_of`: what a matrix is stored as. All of these outlive the search.
  ScaleSearch(const ArchSpec& spec, const std::vector<LocatedTensor>& tensors, Container container, TypeOf type_of);

  /// Whether scales are known for what the tensor reads, as decided or as kept by an earlier run.
  bool known(const LocatedTensor& tensor, const TensorStore& store);
  /// Finds scales for what the tensor reads, and keeps them. They are 1 where nothing is better, where `readers` are
  /// not all matrices that read these channels, and where what writes them is stored so that a factor would cost
  /// something (in F16 or BF16: neither in F32 nor in blocks that have scales). Reads a sample of each matrix, a few
  /// megabytes. The same for any number of threads.
  void decide(WorkerPool& pool, const LocatedTensor& tensor, std::span<const ReaderPlan> readers,
              const TensorStore& store);

  const ChannelScales& scales() const { return scales_; }
  int64_t scaled() const { return scaled_; }  // sites that have scales
  int64_t sites() const { return std::ssize(decided_); }

 private:
  bool can_scale(const ScaledChannels& site, std::span<const ReaderPlan> readers) const;
  void take(const ScaledChannels& site, std::vector<float> scales);

  const ArchSpec& spec_;
  const std::vector<LocatedTensor>& tensors_;
  Container container_;
  TypeOf type_of_;
  ChannelScales scales_;
  std::set<std::string> decided_;
  int64_t scaled_ = 0;
};

}  // namespace autoglm
