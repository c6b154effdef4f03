#include "base/error.h"

#include <gtest/gtest.h>

#include <array>
#include <string_view>

namespace autoglm {
namespace {

TEST(Error, TableGivesExitCodesOfTheContract) {
  EXPECT_EQ(info(Code::work_failed).exit_code, 1);
  EXPECT_EQ(info(Code::bad_flag).exit_code, 2);
  EXPECT_EQ(info(Code::bad_model_file).exit_code, 3);
  EXPECT_EQ(info(Code::context_exceeded).exit_code, 4);
  EXPECT_EQ(info(Code::interrupted).exit_code, 130);
  EXPECT_EQ(info(Code::context_exceeded).name, "context_exceeded");
  EXPECT_EQ(info(Code::overloaded).http_status, 429);
}

TEST(Error, NearestNamesTheLikelyWordOnly) {
  constexpr std::array<std::string_view, 3> words = {"--threads", "--temp", "--top-p"};
  EXPECT_EQ(nearest("--thread", words.data(), words.size()), "--threads");
  EXPECT_EQ(nearest("--zzzzzzzzzz", words.data(), words.size()), "");
}

}  // namespace
}  // namespace autoglm
