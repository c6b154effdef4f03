#include "base/error.h"
#include "base/pool.h"
#include "kernels/backend.h"

namespace autoglm {
namespace {

TEST(Isa, EveryUsableNameMakesItsBackendAndRefStandsLast) {
  WorkerPool pool(PoolOptions{});
  ASSERT_FALSE(usable_isas().empty());
  EXPECT_EQ(usable_isas().back(), "ref");
  EXPECT_EQ(built_isas().back(), "ref");
  for (std::string_view name : usable_isas()) EXPECT_EQ(make_backend(name, pool)->name(), name);
}

TEST(Isa, UnknownNameIsAnErrorThatNamesWhatThereIs) {
  WorkerPool pool(PoolOptions{});
  for (std::string_view name : {"sse9", "", "REF", "auto "}) {
    try {
      make_backend(name, pool);
      ADD_FAILURE() << name;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::bad_flag);
      EXPECT_THAT(error.hint(), testing::HasSubstr("ref"));
    }
  }
}

}  // namespace
}  // namespace autoglm
