#include "base/priority.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace autoglm {

void be_nice(int niceness) {
  const auto thread = static_cast<id_t>(::syscall(SYS_gettid));  // Linux: of a thread, not of the process
  if (::getpriority(PRIO_PROCESS, thread) < niceness) ::setpriority(PRIO_PROCESS, thread, niceness);
}

}  // namespace autoglm
