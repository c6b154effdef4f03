// From the hidden states of a text's tokens to one vector.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/request.h"

namespace autoglm {

/// Takes rows in order, however they are cut into steps: the result is the same to the bit.
class Pooler {
 public:
  Pooler(Pooling pooling, int64_t hidden, int64_t tokens);
  /// Whether the token at this position is wanted. Those that came before a preemption are not wanted again.
  bool wants(int64_t position) const;
  void add(std::span<const float> row);
  std::vector<float> result() const;

 private:
  Pooling pooling_;
  int64_t tokens_;
  int64_t next_ = 0;         // position that comes next; of `last` the only one
  std::vector<double> sum_;  // [hidden]
};

}  // namespace autoglm
