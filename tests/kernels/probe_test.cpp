#include "kernels/probe.h"

#include "base/error.h"
#include "base/pool.h"
#include "kernels/backend.h"

namespace autoglm {
namespace {

TEST(Probe, EveryIsaHasPositiveRoofsAndItsBufferIsBoundedByMemory) {
  WorkerPool pool(PoolOptions{.threads = 2, .cpus = {}, .spin_microseconds = 0});
  for (std::string_view isa : usable_isas()) {
    const Roofs roofs = probe_roofs(pool, isa);
    for (double roof : {roofs.int8_gops, roofs.bf16_gops, roofs.read_gbps_small, roofs.read_gbps_huge}) {
      EXPECT_GT(roof, 0.0) << isa;
      EXPECT_LT(roof, 1e6) << isa;  // a loop that the compiler removed would be faster
    }
    EXPECT_GE(roofs.read_bytes, 16 << 20);
    EXPECT_LE(roofs.read_bytes, int64_t{1} << 30);
  }
}

TEST(Probe, CanBeStoppedBetweenItsTries) {
  WorkerPool pool(PoolOptions{});
  int asked = 0;
  const auto check = [&] {
    if (++asked == 4) fail(Code::interrupted, "interrupted");
  };
  EXPECT_THROW(probe_roofs(pool, "auto", check), Error);
  EXPECT_EQ(asked, 4) << "twice for its buffers, then before each try";
}

TEST(Probe, UnknownIsaIsAnError) {
  WorkerPool pool(PoolOptions{});
  EXPECT_THROW(probe_roofs(pool, "sse9"), Error);
}

}  // namespace
}  // namespace autoglm
