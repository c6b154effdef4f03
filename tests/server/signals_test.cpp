// What a service manager sends and hears: READY and STOPPING over its socket, SIGHUP, SIGTERM.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "server/notify.h"
#include "server/test_server.h"
#include "support/read_file.h"
#include "support/temporary_folder.h"

namespace autoglm {
namespace {

using test::Client;
using test::ServerSetup;
using test::TestServer;

/// The socket of a service manager, which NOTIFY_SOCKET names while this lives.
class Manager {
 public:
  explicit Manager(const std::string& path) {
    descriptor_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    EXPECT_EQ(::bind(descriptor_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0) << path;
    ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
  }
  ~Manager() {
    ::unsetenv("NOTIFY_SOCKET");
    ::close(descriptor_);
  }
  std::string hear() const {  // waits
    char text[256];
    const ssize_t got = ::recv(descriptor_, text, sizeof text, 0);
    return {text, static_cast<size_t>(std::max<ssize_t>(0, got))};
  }

 private:
  int descriptor_ = -1;
};

ServerSetup with_signals() {
  ServerSetup setup;
  setup.server.signals = true;
  return setup;
}

bool eventually(const std::function<bool()>& holds) {
  for (int i = 0; i < 3000; ++i) {
    if (holds()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

TEST(ServiceManager, HearsWhenTheServerIsReadyAndWhenItStops) {
  const test::TemporaryFolder folder;
  const Manager manager(folder.path() / "notify");
  TestServer server(with_signals());
  EXPECT_EQ(manager.hear(), "READY=1");
  EXPECT_EQ(server.client().get("/health").status, 200);
  ::kill(::getpid(), SIGTERM);
  EXPECT_EQ(manager.hear(), "STOPPING=1");
  server.join();
}

TEST(ServiceManager, NobodyListeningIsNoFailure) {
  ::setenv("NOTIFY_SOCKET", "/nowhere/at/all", 1);
  notify_service_manager("READY=1");
  ::setenv("NOTIFY_SOCKET", std::string(200, '/').c_str(), 1);
  notify_service_manager("READY=1");
  ::unsetenv("NOTIFY_SOCKET");
  notify_service_manager("READY=1");
}

TEST(ServiceManager, IsToldThatAllIsWellAsLongAsItIs) {
  const test::TemporaryFolder folder;
  const Manager manager(folder.path() / "notify");
  std::atomic<bool> well{true};
  std::atomic<int> asked{0};
  const auto alive = [&](double patience) {
    EXPECT_EQ(patience, 0.02);
    ++asked;
    return well.load();
  };
  ::setenv("WATCHDOG_USEC", "20000", 1);
  ::setenv("WATCHDOG_PID", "1", 1);
  {
    const Watchdog others(alive);
  }
  EXPECT_EQ(asked.load(), 0);  // it was meant for another process
  ::unsetenv("WATCHDOG_PID");
  {
    const Watchdog watchdog(alive);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(manager.hear(), "WATCHDOG=1");
    well.store(false);
    const int before = asked.load();
    EXPECT_TRUE(eventually([&] { return asked.load() >= before + 3; }));
  }
  ::unsetenv("WATCHDOG_USEC");
  const int all = asked.load();
  notify_service_manager("END");
  int told = 3;
  while (manager.hear() == "WATCHDOG=1") ++told;
  EXPECT_LE(told, all - 2);  // nothing was said while nothing was well
}

TEST(Reload, SighupReadsTheKeysAgain) {
  const test::TemporaryFolder folder;
  const auto keys = folder.path() / "keys.txt";
  std::ofstream(keys) << "first-key\n";
  ServerSetup setup = with_signals();
  setup.server.service.api_key_file = keys;
  TestServer server(std::move(setup));
  Client client = server.client();
  const auto status = [&](const std::string& key) {
    return client.get("/v1/models", "Authorization: Bearer " + key + "\r\n").status;
  };
  ASSERT_TRUE(eventually([&] { return status("first-key") == 200; }));
  EXPECT_EQ(status("second-key"), 401);
  std::ofstream(keys) << "second-key\n";
  EXPECT_EQ(status("second-key"), 401);  // not before it is told
  ::kill(::getpid(), SIGHUP);
  EXPECT_TRUE(eventually([&] { return status("second-key") == 200; }));
  EXPECT_EQ(status("first-key"), 401);
  std::filesystem::remove(keys);
  ::kill(::getpid(), SIGHUP);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(status("second-key"), 200);  // keys that cannot be read stay as they were
}

TEST(Reload, SighupOpensTheAccessLogAgain) {
  const test::TemporaryFolder folder;
  const auto log = folder.path() / "access.jsonl";
  ServerSetup setup = with_signals();
  setup.server.service.access_log = log;
  TestServer server(std::move(setup));
  Client client = server.client();
  ASSERT_TRUE(eventually([&] { return client.get("/health").status == 200; }));
  std::filesystem::rename(log, folder.path() / "old.jsonl");
  ::kill(::getpid(), SIGHUP);
  EXPECT_TRUE(eventually([&] {
    client.get("/version");
    return std::filesystem::exists(log) && test::read_file(log).find("/version") != std::string::npos;
  }));
  EXPECT_EQ(test::read_file(folder.path() / "old.jsonl").find("/metrics"), std::string::npos);
}

}  // namespace
}  // namespace autoglm
