// Telling systemd how the service is (sd_notify's protocol, Type=notify).
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string_view>
#include <thread>

namespace autoglm {

/// "READY=1", "STOPPING=1", ... to NOTIFY_SOCKET, if there is one.
void notify_service_manager(std::string_view state);

/// Tells a service manager that asks for it (WatchdogSec=) twice in its time that all is well, as long as it is: one
/// that does not hear so restarts the service. Its thread exists only where somebody asks.
class Watchdog {
 public:
  /// `alive` gets the seconds after which the manager loses patience.
  explicit Watchdog(std::function<bool(double patience)> alive);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

 private:
  void loop(double patience);

  const std::function<bool(double)> alive_;
  std::mutex mutex_;  // guards stopping_
  std::condition_variable changed_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace autoglm
