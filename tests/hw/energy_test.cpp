#include "hw/energy.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "support/temporary_folder.h"

namespace autoglm {
namespace {

void write(const std::filesystem::path& root, const std::string& zone, const std::string& name, int64_t energy) {
  const std::filesystem::path folder = root / "sys/class/powercap" / zone;
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "name") << name << '\n';
  std::ofstream(folder / "energy_uj") << energy << '\n';
  std::ofstream(folder / "max_energy_range_uj") << 10'000'000 << '\n';
}

TEST(EnergyMeterTest, AddsPackagesAndKnowsWhereTheyBeginAnew) {
  const test::TemporaryFolder folder;
  write(folder.path(), "intel-rapl:0", "package-0", 1'000'000);
  write(folder.path(), "intel-rapl:1", "package-1", 9'000'000);
  write(folder.path(), "intel-rapl:0:0", "core", 0);  // a part of the first
  write(folder.path(), "intel-rapl-mmio:0", "package-0", 0);
  write(folder.path(), "intel-rapl:2", "psys", 0);
  const EnergyMeter meter(folder.path());
  write(folder.path(), "intel-rapl:0", "package-0", 3'500'000);
  write(folder.path(), "intel-rapl:1", "package-1", 500'000);
  write(folder.path(), "intel-rapl:0:0", "core", 5'000'000);
  ASSERT_TRUE(meter.joules());
  EXPECT_NEAR(*meter.joules(), 2.5 + 1.5, 1e-9);
}

TEST(EnergyMeterTest, SaysNothingWhereNothingCanBeRead) {
  const test::TemporaryFolder folder;
  EXPECT_FALSE(EnergyMeter(folder.path()).joules());
  write(folder.path(), "intel-rapl:0", "package-0", 1);
  const EnergyMeter meter(folder.path());
  std::filesystem::remove_all(folder.path() / "sys");
  EXPECT_FALSE(meter.joules());
}

}  // namespace
}  // namespace autoglm
