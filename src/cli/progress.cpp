#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <mutex>

#include "base/ledger.h"
#include "cli/command.h"
#include "cli/display.h"

namespace autoglm {
namespace {

using Clock = std::chrono::steady_clock;

std::string duration_text(double seconds) {
  const auto total = static_cast<int64_t>(std::min(seconds + 0.5, 359999.0));
  if (total < 60) return fmt::format("{} s", total);
  if (total < 3600) return fmt::format("{} min {:02} s", total / 60, total % 60);
  return fmt::format("{} h {:02} min", total / 3600, total / 60 % 60);
}

int terminal_columns() {
  winsize size{};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

void write_stderr(const std::string& text) {
  [[maybe_unused]] const ssize_t ignored = ::write(STDERR_FILENO, text.data(), text.size());
}

}  // namespace

struct Progress::State {
  std::mutex mutex;
  std::string label;
  int64_t total = 0;
  bool bytes = false;
  bool shown = false;
  Clock::time_point start = Clock::now();
  Clock::time_point next = start + std::chrono::milliseconds(500);

  std::string amount(int64_t value) const { return bytes ? format_bytes(value) : fmt::format("{}", value); }

  std::string line(int64_t done, double seconds) const {
    const double rate = seconds > 0 ? static_cast<double>(done) / seconds : 0;
    std::string out = label + " ";
    if (total > 0) {
      out += fmt::format("{:3d} %  {} of {}", 100 * std::min(done, total) / total, amount(done), amount(total));
    } else {
      out += amount(done);
    }
    if (bytes && rate > 0) out += fmt::format("  {}/s", format_bytes(static_cast<int64_t>(rate)));
    if (total > done && rate > 0) {
      out += fmt::format("  {} left", duration_text(static_cast<double>(total - done) / rate));
    }
    return out;
  }
};

Progress::Progress(bool enabled, std::string label, int64_t total, bool bytes) {
  if (!enabled) return;
  state_ = std::make_unique<State>();
  state_->label = std::move(label);
  state_->total = total;
  state_->bytes = bytes;
}

Progress::Progress(Progress&&) noexcept = default;

Progress::~Progress() {
  if (state_ && state_->shown) write_stderr("\r\x1b[K");
}

void Progress::update(int64_t done) {
  if (!state_) return;
  const std::scoped_lock lock(state_->mutex);
  const Clock::time_point now = Clock::now();
  if (now < state_->next) return;
  state_->next = now + std::chrono::milliseconds(100);
  state_->shown = true;
  const double seconds = std::chrono::duration<double>(now - state_->start).count();
  const std::vector<std::string> lines = wrap(state_->line(done, seconds), terminal_columns() - 1);
  write_stderr("\r" + (lines.empty() ? "" : lines.front()) + "\x1b[K");
}

void Progress::set_total(int64_t total) {
  if (!state_) return;
  const std::scoped_lock lock(state_->mutex);
  state_->total = total;
}

}  // namespace autoglm
