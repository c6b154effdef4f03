// The whole server under everything at once: streams and whole answers, tools and schemas, long prompts, clients that
// go away, keys and logs read again, the cache on disk (also a full one), and at last SIGTERM. Each answer has the bits
// it has alone. `make check` runs it under the thread sanitizer.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <thread>

#include "server/load.h"
#include "server/tiny_server.h"
#include "support/temporary_folder.h"

namespace autoglm {
namespace {

using test::Client;
using test::LoadCounts;
using test::metric;
using test::MixedLoad;
using test::TinyServer;
using test::TinySetup;

constexpr int kClients = 6;

void run_clients(MixedLoad& load, uint32_t seed, int64_t each, const std::function<void()>& meanwhile) {
  std::vector<std::thread> clients;
  for (uint32_t i = 0; i < kClients; ++i) clients.emplace_back([&load, seed, i, each] { load.run(seed + i, each); });
  meanwhile();
  for (std::thread& client : clients) client.join();
}

void expect_right(const LoadCounts& counts) {
  for (const std::string& wrong : counts.wrong) ADD_FAILURE() << wrong;
  EXPECT_GT(counts.answered, 50);
}

void expect_nothing_left(Client& client) {
  EXPECT_TRUE(test::eventually([&] {
    return metric(client, "vllm:num_requests_running") + metric(client, "vllm:num_requests_waiting") +
               metric(client, "vllm:kv_cache_usage_perc") ==
           0;
  }));
}

TEST(MixedLoad, NothingIsLostLeftOrChangedAndSigtermDrains) {
  const test::TemporaryFolder folder;
  TinySetup setup;
  setup.prefixes = folder / "prefixes";
  setup.disk_says = [](const std::string& text) { ADD_FAILURE() << text; };
  setup.server.signals = true;
  setup.server.service.access_log = (folder / "log").string();
  TinyServer server(std::move(setup));
  MixedLoad load(server.port());
  load.learn();
  run_clients(load, 1, 40, [] {
    for (int i = 0; i < 10; ++i) {
      ::kill(::getpid(), SIGHUP);
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  });
  expect_right(load.counts());
  {
    Client client = server.client();
    expect_nothing_left(client);
  }
  // Stopped in the middle: what has begun ends as it should.
  const int64_t before = load.counts().asked;
  run_clients(load, 100, 1000, [&] {
    while (load.counts().asked < before + 60) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    load.stopping();
    ::kill(::getpid(), SIGTERM);
  });
  expect_right(load.counts());
  EXPECT_EQ(server.join(), SIGTERM);
}

// What an earlier server wrote is read while all goes on, and its files come to their limit and go.
TEST(MixedLoad, ServersFollowEachOtherOverOneCache) {
  const test::TemporaryFolder folder;
  for (uint32_t start = 0; start < 3; ++start) {
    TinySetup setup;
    setup.prefixes = folder / "prefixes";
    setup.disk_says = [](const std::string& text) { ADD_FAILURE() << text; };
    TinyServer server(std::move(setup));
    MixedLoad load(server.port());
    load.learn();
    run_clients(load, 10 * start, 12, [] {});
    expect_right(load.counts());
  }
}

// A disk with no room is a note to the user, once, and changes no answer.
TEST(MixedLoad, AFullDiskChangesNoAnswer) {
  const test::TemporaryFolder folder;
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &limit), 0);
  const auto before = std::signal(SIGXFSZ, SIG_IGN);  // writes then fail, as they do where a disk is full
  std::mutex mutex;
  std::vector<std::string> said;
  {
    TinySetup setup;
    setup.prefixes = folder / "prefixes";
    setup.disk_says = [&](const std::string& text) {
      const std::scoped_lock lock(mutex);
      said.push_back(text);
    };
    setup.server.service.access_log = (folder / "log").string();
    TinyServer server(std::move(setup));
    MixedLoad load(server.port());
    const rlimit low{.rlim_cur = 30000, .rlim_max = limit.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &low), 0);
    load.learn();
    run_clients(load, 5, 30, [] {});
    expect_right(load.counts());
    Client client = server.client();
    expect_nothing_left(client);
  }
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  std::signal(SIGXFSZ, before);
  EXPECT_EQ(said.size(), 1U) << testing::PrintToString(said);
}

}  // namespace
}  // namespace autoglm
