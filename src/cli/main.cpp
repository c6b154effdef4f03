#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <string>
#include <vector>

#include "cli/command.h"

extern char** environ;

namespace {

// A signal handler is given no context: the one object of the program that must be global.
autoglm::Interrupt interrupt;

// The first Ctrl-C asks; a second one that comes before the first was heard ends the program at once.
void on_interrupt(int) {
  if (interrupt.requested()) ::_exit(130);
  interrupt.request();
}

// Without SA_RESTART: whoever waits for input wakes up and sees the request.
void install_signals() {
  struct sigaction action{};
  action.sa_handler = on_interrupt;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, nullptr);
  ::signal(SIGPIPE, SIG_IGN);  // a closed pipe is an error of the write, not the end of the program
  ::signal(SIGXFSZ, SIG_IGN);  // so is a file that may not grow
}

// Descriptors 0 to 2 may be closed: a model file opened in their place would be written to by the next message.
void reserve_standard_descriptors() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(descriptor, F_GETFD) >= 0) continue;
    // Opened for the wrong direction on purpose: using it is an error, as it was.
    if (::open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY) != descriptor) return;
  }
}

}  // namespace

int main(int argc, char** argv) {
  reserve_standard_descriptors();
  install_signals();
  const std::vector<std::string> arguments(argv + (argc > 0 ? 1 : 0), argv + argc);
  std::vector<std::string> environment;
  for (char** line = environ; line != nullptr && *line != nullptr; ++line) environment.emplace_back(*line);
  return autoglm::run_program(arguments, environment, interrupt);
}
