// What a call ends with.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "base/error.h"

namespace autoglm::test {

/// The Error that `call` ends with, or nothing.
template <typename Call>
std::optional<Error> error_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  return std::nullopt;
}

}  // namespace autoglm::test

/// `call` must end with this code, and its message must hold the words.
#define EXPECT_ERROR(call, wanted_code, words)                            \
  do {                                                                    \
    const auto error_ = ::autoglm::test::error_of([&] { (void)(call); }); \
    ASSERT_TRUE(error_) << "no error";                                    \
    EXPECT_EQ(error_->code(), wanted_code) << error_->what();             \
    EXPECT_THAT(error_->what(), ::testing::HasSubstr(words));             \
  } while (0)
