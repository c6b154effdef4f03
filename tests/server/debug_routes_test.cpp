// /debug/pprof/profile and /debug/flamegraph over HTTP; what is in them is tested below, in tests/base.
#include "server/debug_routes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/test_server.h"

namespace autoglm {
namespace {

using test::Client;
using test::Reply;
using test::TestServer;
using testing::HasSubstr;
using testing::Not;

TEST(DebugRoutes, AProfileAndAPage) {
  TestServer server;
  Client client = server.client();
  const Reply profile = client.get("/debug/pprof/profile?seconds=0.1");
  EXPECT_EQ(profile.status, 200);
  EXPECT_EQ(profile.header("content-type"), "application/octet-stream");
  EXPECT_THAT(profile.body, testing::StartsWith("\x1f\x8b"));
  EXPECT_THAT(profile.body, HasSubstr("nanoseconds"));
  const Reply page = client.get("/debug/flamegraph?seconds=0.1");
  EXPECT_EQ(page.status, 200);
  EXPECT_THAT(page.body, testing::StartsWith("<!doctype html>"));
  EXPECT_THAT(page.body, testing::EndsWith("</html>\n"));
  EXPECT_THAT(page.body, Not(HasSubstr("://")));  // nothing from outside
}

/// The answer's status, once it is the wanted one: what a profile begins and ends with takes its time.
int eventually(Client& client, const std::string& path, int wanted) {
  int status = 0;
  for (int i = 0; i < 3000 && status != wanted; ++i) {
    status = client.get(path).status;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return status;
}

TEST(DebugRoutes, OneAtATimeAndNoLongerThanItsClient) {
  TestServer server;
  {
    Client first = server.client();
    first.send("GET /debug/pprof/profile?seconds=300 HTTP/1.1\r\nHost: x\r\n\r\n");
    std::this_thread::sleep_for(std::chrono::milliseconds(100));  // or the next one may be first
    Client second = server.client();
    EXPECT_EQ(eventually(second, "/debug/flamegraph?seconds=0.01", 429), 429);
    EXPECT_EQ(second.get("/debug/flamegraph").header("retry-after"), "5");
  }
  Client third = server.client();
  EXPECT_EQ(eventually(third, "/debug/flamegraph?seconds=0.01", 200), 200);
}

TEST(DebugRoutes, SecondsAreChecked) {
  TestServer server;
  Client client = server.client();
  for (const char* bad : {"0", "-1", "x", "301", "nan", "1e9"}) {
    const Reply reply = client.get(std::string("/debug/pprof/profile?seconds=") + bad);
    EXPECT_EQ(reply.status, 400) << bad;
    EXPECT_THAT(reply.body, HasSubstr("seconds")) << bad;
  }
  EXPECT_EQ(client.post("/debug/pprof/profile", {}).status, 405);
}

TEST(DebugRoutes, TheServerEndsWhileOneIsTaken) {
  TestServer server;
  Client client = server.client();
  client.send("GET /debug/pprof/profile?seconds=300 HTTP/1.1\r\nHost: x\r\n\r\n");
  server.finish();
}

TEST(DebugRoutes, ValuesOfAQuery) {
  EXPECT_EQ(query_value("a=1&seconds=2%2e5&seconds=7", "seconds"), "2.5");
  EXPECT_EQ(query_value("seconds", "seconds"), "");
  EXPECT_EQ(query_value("xseconds=1&&=", "seconds"), "");
}

TEST(FlameGraph, NamesCannotEndTheScript) {
  CallTree tree{.name = "all", .count = 1, .children = {{.name = "</script><b>", .count = 1, .children = {}}}};
  CpuProfile profile;
  EXPECT_THAT(flame_graph_page(tree, profile), Not(HasSubstr("</script><b>")));
}

}  // namespace
}  // namespace autoglm
