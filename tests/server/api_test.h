// What the tests of the HTTP APIs begin with.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/test_server.h"

namespace autoglm {

using nlohmann::json;
using test::Client;
using test::Reply;
using test::ServerSetup;
using test::TestServer;
using testing::HasSubstr;

}  // namespace autoglm
