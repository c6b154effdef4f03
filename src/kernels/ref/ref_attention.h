// One query against the positions that it sees.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace autoglm::ref {

struct Attend {
  const float* query;
  int64_t position;  // sees (position - window, position]; window 0: [0, position]
  float scale;
  float softcap;  // 0: none
  int window;
  int value_dim;  // leading values of value(p) that are summed
};

/// softmax(scale * query . key(p)) . value(p).
std::vector<double> attend(const Attend& args, const std::function<std::vector<float>(int64_t)>& key,
                           const std::function<std::vector<float>(int64_t)>& value);

}  // namespace autoglm::ref
