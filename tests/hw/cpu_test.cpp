#include "hw/cpu.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

namespace autoglm {
namespace {

// The kernel lists a feature only where the CPU has it and the kernel saves its state: an independent witness.
std::set<std::string> kernel_flags() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("flags") || line.starts_with("Features")) {
      std::istringstream words(line.substr(line.find(':') + 1));
      std::set<std::string> flags;
      for (std::string word; words >> word;) flags.insert(word);
      return flags;
    }
  }
  return {};
}

TEST(Cpu, FeaturesAgreeWithTheKernel) {
  const CpuFeatures f = cpu_features();
  const std::set<std::string> flags = kernel_flags();
  ASSERT_FALSE(flags.empty());
#if defined(__x86_64__)
  EXPECT_EQ(f.sse42, flags.contains("sse4_2"));
  EXPECT_EQ(f.avx2, flags.contains("avx2"));
  EXPECT_EQ(f.fma, flags.contains("fma"));
  EXPECT_EQ(f.f16c, flags.contains("f16c"));
  EXPECT_EQ(f.bmi2, flags.contains("bmi2"));
  EXPECT_EQ(f.avxvnni, flags.contains("avx_vnni"));
  EXPECT_EQ(f.avx512, flags.contains("avx512f") && flags.contains("avx512bw") && flags.contains("avx512vl") &&
                          flags.contains("avx512dq"));
  EXPECT_EQ(f.avx512vbmi, flags.contains("avx512vbmi"));
  EXPECT_EQ(f.avx512vnni, flags.contains("avx512_vnni"));
  EXPECT_EQ(f.avx512bf16, flags.contains("avx512_bf16"));
  if (f.amx_int8) {  // may be refused to this process though the CPU has it
    EXPECT_TRUE(flags.contains("amx_int8"));
  }
#elif defined(__aarch64__)
  EXPECT_EQ(f.neon, flags.contains("asimd"));
  EXPECT_EQ(f.neon_dotprod, flags.contains("asimddp"));
#endif
}

TEST(Cpu, NamesAreListed) {
  CpuFeatures f;
  EXPECT_EQ(to_string(f), "");
  f.avx2 = f.fma = true;
  EXPECT_EQ(to_string(f), "avx2 fma");
  EXPECT_FALSE(cpu_model().empty());
}

}  // namespace
}  // namespace autoglm
