// The roofs of this machine: what bare loops reach, on all workers of a pool. Every speed is reported as a share of
// them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

namespace autoglm {

class WorkerPool;

/// Best of several tries. A multiply-add counts as two operations.
struct Roofs {
  double int8_gops = 0.0;  // 1e9 operations a second, with the integer dot product of the ISA
  double bf16_gops = 0.0;
  double read_gbps_small = 0.0;  // 1e9 bytes a second, memory on pages of the normal size
  double read_gbps_huge = 0.0;   // memory on huge pages, where the system grants them
  int64_t read_bytes = 0;        // size of the buffer that was read: twice the L3 cache, 256 MiB to 1 GiB, at most an
                                 // eighth of the usable memory; a buffer that fits in the cache flatters the roof
};

/// Called between tries, which take long on a busy machine; may throw (Ctrl-C).
using ProbeCheck = std::function<void()>;

/// Keeps its loops calibrated and its memory resident (read_bytes on each kind of page), so that rounds can alternate
/// with what is measured and a drift of the machine hits both alike.
class RoofProbe {
 public:
  /// isa: a name of usable_isas() or "auto"; "ref" is measured as the most general table. The pool must outlive it.
  RoofProbe(WorkerPool& pool, std::string_view isa, const ProbeCheck& check = {});
  ~RoofProbe();
  RoofProbe(const RoofProbe&) = delete;
  RoofProbe& operator=(const RoofProbe&) = delete;
  /// The best of `tries` of each loop; some 0.1 s a try.
  Roofs round(int tries, const ProbeCheck& check = {}) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Takes about a second. isa: a name of usable_isas() or "auto"; "ref" is measured as the most general table.
Roofs probe_roofs(WorkerPool& pool, std::string_view isa, const ProbeCheck& check = {});

/// What probe_read_gbps() should read for weights of so many bytes: them all, bounded to 64 to 256 MiB.
int64_t probe_read_bytes(int64_t weights);

/// The read roof alone, on huge pages as weights lie, over a buffer of `bytes`; some 0.1 s.
double probe_read_gbps(WorkerPool& pool, std::string_view isa, int64_t bytes);

/// The int8 roof alone, some 0.1 s: what another ISA would bring.
double probe_int8_gops(WorkerPool& pool, std::string_view isa);

}  // namespace autoglm
