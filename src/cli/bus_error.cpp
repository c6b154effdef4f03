#include "cli/bus_error.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstring>
#include <string_view>

#include "base/error.h"
#include "base/mapped_names.h"

namespace autoglm {
namespace {

// What the handler must know; it is given no context.
struct Reporting {
  std::atomic<bool> installed{false};
  std::atomic<bool> json{false};
  std::atomic<bool> chinese{false};
  std::atomic<bool> told{false};
  struct sigaction before{};
};
constinit Reporting reporting;

/// Writes text in pieces of one buffer. Only what a signal handler may do.
class Writer {
 public:
  explicit Writer(int descriptor) : descriptor_(descriptor) {}
  ~Writer() { flush(); }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  Writer& plain(std::string_view text) {
    for (const char c : text) put(c);
    return *this;
  }
  /// Inside the quotes of JSON.
  Writer& escaped(std::string_view text) {
    constexpr std::string_view kHex = "0123456789abcdef";
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte < 0x20) {
        plain("\\u00");
        put(kHex[byte >> 4]);
        put(kHex[byte & 15]);
        continue;
      }
      if (c == '"' || c == '\\') put('\\');
      put(c);
    }
    return *this;
  }

 private:
  void put(char c) {
    if (used_ == buffer_.size()) flush();
    buffer_[used_++] = c;
  }
  void flush() {
    [[maybe_unused]] const ssize_t ignored = ::write(descriptor_, buffer_.data(), used_);
    used_ = 0;
  }

  int descriptor_;
  std::array<char, 512> buffer_{};
  size_t used_ = 0;
};

void tell(std::string_view file) {
  if (reporting.json) {
    Writer(STDOUT_FILENO)
        .plain(R"({"error":{"code":"bad_model_file","hint":")")
        .escaped(kCutHint)
        .plain(R"(","message":")")
        .escaped(file)
        .escaped(kCutMessage)
        .plain("\"}}\n");
    return;
  }
  const bool zh = reporting.chinese;
  Writer(STDERR_FILENO)
      .plain(zh ? "错误： " : "error: ")
      .plain(file)
      .plain(kCutMessage)
      .plain(zh ? "\n提示： " : "\nhint: ")
      .plain(kCutHint)
      .plain("\n");
}

void on_bus_error(int number, siginfo_t* fault, void*) {
  const char* file = fault->si_code == BUS_ADRERR ? mapping_at(fault->si_addr) : nullptr;
  if (file == nullptr) {
    // Not ours: the instruction runs again and meets what would have been there without us.
    ::sigaction(number, &reporting.before, nullptr);
    return;
  }
  while (reporting.told.exchange(true)) ::pause();  // another worker met it too, and ends the process
  tell(file);
  // Not _exit(): a sanitizer's would look for leaked threads first, in a signal handler, and change the code.
  ::syscall(SYS_exit_group, info(Code::bad_model_file).exit_code);
}

}  // namespace

void explain_bus_errors(bool json, Language language) {
  reporting.json = json;
  reporting.chinese = language == Language::zh;
  if (reporting.installed.exchange(true)) return;
  struct sigaction action{};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGBUS, &action, &reporting.before);
}

}  // namespace autoglm
