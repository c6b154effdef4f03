#include "server/doorbell.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>
#include <tuple>
#include <utility>

#include "base/error.h"

namespace autoglm {

namespace {

int checked(int descriptor) {
  if (descriptor >= 0) return descriptor;
  fail(Code::work_failed, std::string("the system gave no event descriptor: ") + std::strerror(errno),
       "raise the limit on open files (ulimit -n)");
}

}  // namespace

Doorbell::Doorbell() : descriptor_(checked(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK))) {}

int Doorbell::descriptor() const { return checked(::fcntl(descriptor_, F_DUPFD_CLOEXEC, 0)); }

Doorbell::~Doorbell() { ::close(descriptor_); }

void Doorbell::note(const std::weak_ptr<Listener>& listener) {
  const std::scoped_lock lock(mutex_);
  noted_.push_back(listener);
}

void Doorbell::ring() {
  {
    const std::scoped_lock lock(mutex_);
    if (noted_.empty() || std::exchange(rung_, true)) return;
  }
  // Outside the lock: whoever is woken may take this very core, and wants the lock first of all.
  const uint64_t one = 1;
  std::ignore = ::write(descriptor_, &one, sizeof one);
}

void Doorbell::answer() {
  std::vector<std::weak_ptr<Listener>> noted;
  {
    const std::scoped_lock lock(mutex_);
    rung_ = false;
    noted.swap(noted_);
  }
  for (const std::weak_ptr<Listener>& listener : noted) {
    if (const auto here = listener.lock()) here->wake();
  }
}

}  // namespace autoglm
