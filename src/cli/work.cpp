#include "cli/work.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <vector>

#include "model/tensor_table.h"

namespace autoglm {

TokenWork token_work(const ArchSpec& spec, const ModelSource& source) {
  TokenWork work;
  double total_bytes = 0;
  double total_values = 0;
  for (const LocatedTensor& tensor : locate_tensors(spec, source)) {
    if (tensor.row->form != Form::matrix) continue;
    const Role role = tensor.row->role;
    const bool embedding = role == Role::token_embedding;
    const bool head = role == Role::output || (embedding && spec.tied_head);
    if (embedding && !head) continue;  // one row a token
    double share = 1.0;
    if (role == Role::expert_gate || role == Role::expert_up || role == Role::expert_down) {
      share = static_cast<double>(spec.router.top_k) / spec.router.experts;
    }
    const double values = static_cast<double>(tensor.shape.elements()) * share;
    const double bytes = static_cast<double>(tensor.bytes()) * share;
    (head ? work.head_weights : work.layer_weights) += static_cast<int64_t>(values);
    work.bytes += static_cast<int64_t>(bytes);
    total_bytes += bytes;
    total_values += values;
  }
  work.bits = total_values > 0 ? 8 * total_bytes / total_values : 0;
  return work;
}

namespace {

// Touches every byte. Four sums, so that the loop waits for memory and not for additions.
uint64_t read_all(std::span<const std::byte> bytes) {
  std::array<uint64_t, 4> sums{};
  for (size_t at = 0; at + sizeof(sums) <= bytes.size(); at += sizeof(sums)) {
    std::array<uint64_t, 4> words;
    std::memcpy(words.data(), bytes.data() + at, sizeof(words));
    for (size_t i = 0; i < sums.size(); ++i) sums[i] += words[i];
  }
  return sums[0] ^ sums[1] ^ sums[2] ^ sums[3];
}

}  // namespace

double quick_read_gbps(WorkerPool& pool, int64_t bytes) {
  constexpr int64_t kPiece = 1 << 20;
  const int64_t pieces = std::clamp<int64_t>(bytes, 64 << 20, 256 << 20) / kPiece;
  std::vector<std::byte> buffer(static_cast<size_t>(pieces * kPiece), std::byte{1});
  std::atomic<uint64_t> sum{0};
  double best = 0;
  for (int round = 0; round < 3; ++round) {
    const auto begin = std::chrono::steady_clock::now();
    pool.parallel_for(pieces, 1, [&](int64_t from, int64_t to) {
      const std::span<const std::byte> all(buffer);
      sum += read_all(all.subspan(static_cast<size_t>(from * kPiece), static_cast<size_t>((to - from) * kPiece)));
    });
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    if (seconds > 0) best = std::max(best, static_cast<double>(buffer.size()) / seconds / 1e9);
  }
  return best;
}

}  // namespace autoglm
