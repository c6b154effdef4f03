#include "server/notify.h"

#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace autoglm {

void notify_service_manager(std::string_view state) {
  const char* path = std::getenv("NOTIFY_SOCKET");  // NOLINT(concurrency-mt-unsafe): nobody sets the environment
  if (path == nullptr || (path[0] != '/' && path[0] != '@')) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const size_t length = std::strlen(path);
  if (length >= sizeof address.sun_path) return;
  std::memcpy(address.sun_path, path, length);
  if (path[0] == '@') address.sun_path[0] = '\0';  // Linux's abstract names
  const int descriptor = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return;
  // Nobody listening is no failure of ours.
  [[maybe_unused]] const ssize_t ignored =
      ::sendto(descriptor, state.data(), state.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address),
               static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length));
  ::close(descriptor);
}

namespace {

// Seconds that the manager waits for a sign; 0: it asks for none.
double watchdog_patience() {
  // NOLINTBEGIN(concurrency-mt-unsafe): nobody sets the environment
  const char* microseconds = std::getenv("WATCHDOG_USEC");
  const char* process = std::getenv("WATCHDOG_PID");
  // NOLINTEND(concurrency-mt-unsafe)
  if (microseconds == nullptr) return 0;
  if (process != nullptr && std::atoll(process) != ::getpid()) return 0;  // it means another
  return 1e-6 * static_cast<double>(std::atoll(microseconds));
}

}  // namespace

Watchdog::Watchdog(std::function<bool(double)> alive) : alive_(std::move(alive)) {
  const double patience = watchdog_patience();
  if (patience > 0) thread_ = std::thread([this, patience] { loop(patience); });
}

Watchdog::~Watchdog() {
  if (!thread_.joinable()) return;
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void Watchdog::loop(double patience) {
  ::pthread_setname_np(::pthread_self(), "autoglm-watch");
  std::unique_lock lock(mutex_);
  do {
    if (alive_(patience)) notify_service_manager("WATCHDOG=1");
  } while (!changed_.wait_for(lock, std::chrono::duration<double>(patience / 2), [this] { return stopping_; }));
}

}  // namespace autoglm
