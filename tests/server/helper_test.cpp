#include "server/helper.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

namespace autoglm {
namespace {

constexpr size_t kShortBody = 100, kLongBody = 1 << 20;

TEST(Helper, ShortWorkDoesNotWaitForLongWork) {
  Helper helper;
  std::promise<void> release, done;
  helper.post(kLongBody, [&] { release.get_future().wait(); });
  helper.post(kShortBody, [&] { done.set_value(); });
  done.get_future().wait();  // for ever, if it did
  release.set_value();
}

TEST(Helper, StopWaitsForWhatHasBegunAndDropsTheRest) {
  Helper helper;
  std::promise<void> begun, release;
  std::atomic<bool> ended{false}, dropped_ran{false};
  helper.post(kLongBody, [&] {
    begun.set_value();
    release.get_future().wait();
    ended.store(true);
  });
  helper.post(kLongBody, [&] { dropped_ran.store(true); });
  begun.get_future().wait();
  std::thread stopper([&] {
    helper.stop();
    EXPECT_TRUE(ended.load()) << "the model may go now, and somebody still works with it";
  });
  release.set_value();
  stopper.join();
  helper.post(kShortBody, [&] { dropped_ran.store(true); });
  helper.stop();
  EXPECT_TRUE(ended.load());
  // The second piece may have begun before stop() said so, but nothing begins after it.
  const bool ran = dropped_ran.load();
  helper.post(kLongBody, [&] { dropped_ran.store(!ran); });
  helper.stop();
  EXPECT_EQ(dropped_ran.load(), ran);
}

}  // namespace
}  // namespace autoglm
