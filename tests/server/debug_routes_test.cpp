// /debug/pprof/profile and /debug/flamegraph over HTTP; what is in them is tested below, in tests/base.
#include "server/debug_routes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

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

TEST(DebugRoutes, ATraceOfThreadsAndRequests) {
  TestServer server;
  Client client = server.client();
  EXPECT_EQ(client.post("/v1/completions", {{"prompt", "ab"}, {"max_tokens", 5}}).status, 200);
  const Reply reply = client.get("/debug/trace?seconds=60");
  ASSERT_EQ(reply.status, 200) << reply.body;
  const auto trace = nlohmann::json::parse(reply.body);
  std::map<int, std::string> tracks;
  std::map<std::string, std::set<std::string>> spans;
  for (const auto& event : trace.at("traceEvents")) {
    const std::string name = event.at("name").get<std::string>();
    if (event.at("ph") == "X") {
      spans[tracks.at(event.at("tid").get<int>())].insert(name);
    } else if (name == "thread_name") {
      tracks[event.at("tid").get<int>()] = event.at("args").at("name").get<std::string>();
    }
  }
  EXPECT_THAT(spans["1 /v1/completions"], testing::IsSupersetOf({"queue", "decode"}));
  EXPECT_THAT(spans["engine"], testing::IsSupersetOf({"plan", "sample", "detokenize", "emit", "report"}));
  EXPECT_THAT(spans["helper"], testing::IsSupersetOf({"parse", "tokenize"}));
  EXPECT_THAT(spans["network"], testing::IsSupersetOf({"receive", "serialize", "socket_write"}));
  EXPECT_THAT(client.get("/debug/trace?seconds=0").status, 400);
}

TEST(DebugRoutes, MetricsTellWhatEachThreadsTimeWentInto) {
  TestServer server;
  Client client = server.client();
  EXPECT_EQ(client.post("/v1/completions", {{"prompt", "ab"}, {"max_tokens", 5}}).status, 200);
  const auto sum = [&](const std::string& thread) {
    double all = 0;
    std::istringstream lines(client.get("/metrics").body);
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with("autoglm:zone_seconds_total{") && line.find("thread=\"" + thread) != std::string::npos) {
        all += std::stod(line.substr(line.rfind(' ')));
      }
    }
    return all;
  };
  for (const char* thread : {"engine", "helper", "network"}) {
    const auto begin = std::chrono::steady_clock::now();
    const double before = sum(thread);
    const auto between = std::chrono::steady_clock::now();
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    const auto asked = std::chrono::steady_clock::now();
    const double after = sum(thread);
    const auto end = std::chrono::steady_clock::now();
    // Its zones are all of its time, idle or not.
    EXPECT_GE(after - before, 0.99 * std::chrono::duration<double>(asked - between).count()) << thread;
    EXPECT_LE(after - before, 1.01 * std::chrono::duration<double>(end - begin).count()) << thread;
  }
  const std::string text = client.get("/metrics").body;
  EXPECT_THAT(text, HasSubstr("autoglm:zone_calls_total{"));
  EXPECT_THAT(text, HasSubstr("thread=\"engine\",zone=\"sample\"}"));
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
