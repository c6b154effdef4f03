// `chat` at a pseudo-terminal, as a person types: keys in, screen out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <fstream>

#include "cli/command_runner.h"

namespace autoglm {
namespace {

using test::smollm2;
using test::TemporaryFolder;
using testing::HasSubstr;

constexpr const char* kLeft = "\x1b[D";
constexpr const char* kUp = "\x1b[A";
constexpr const char* kDown = "\x1b[B";
constexpr const char* kBackspace = "\x7f";

/// The program at a terminal of 100 columns. What it prints is read until an awaited text is there.
class Terminal {
 public:
  explicit Terminal(const TemporaryFolder& folder, std::vector<std::string> more = {}) {
    winsize size{.ws_row = 40, .ws_col = 100, .ws_xpixel = 0, .ws_ypixel = 0};
    child_ = ::forkpty(&master_, nullptr, nullptr, &size);
    if (child_ != 0) return;
    ::setenv("LC_ALL", "C.UTF-8", 1);
    ::setenv("TERM", "xterm", 1);
    ::setenv("AUTOGLM_HOME", (folder / "home").c_str(), 1);
    std::vector<std::string> arguments = {AUTOGLM_BINARY, "chat", smollm2(), "--temp", "0", "-n", "8"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    std::vector<char*> words;
    for (std::string& argument : arguments) words.push_back(argument.data());
    words.push_back(nullptr);
    ::execv(AUTOGLM_BINARY, words.data());
    ::_exit(127);
  }
  ~Terminal() {
    if (child_ > 0) {
      ::kill(child_, SIGKILL);
      ::waitpid(child_, nullptr, 0);
    }
    ::close(master_);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  void type(const std::string& keys) {
    size_t sent = 0;
    while (sent < keys.size()) {
      const ssize_t n = ::write(master_, keys.data() + sent, std::min<size_t>(keys.size() - sent, 512));
      if (n <= 0) return;
      sent += static_cast<size_t>(n);
      drain(0);  // the echo must not fill the terminal's buffer
    }
  }
  /// Waits for `text` in what came since the last await(); what came until then is returned.
  std::string await(const std::string& text, double seconds = 120) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
    while (fresh_.find(text) == std::string::npos) {
      if (std::chrono::steady_clock::now() > end || !drain(100)) {
        ADD_FAILURE() << "no '" << text << "' on the screen, but: " << fresh_;
        return std::exchange(fresh_, {});
      }
    }
    const size_t place = fresh_.find(text) + text.size();
    std::string seen = fresh_.substr(0, place);
    fresh_.erase(0, place);
    return seen;
  }
  /// One message and its answer.
  void prompt() { await(">>> "); }
  /// The exit code, 137 if the program had to be killed.
  int wait(double seconds = 120) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
    while (drain(1000)) {
      if (std::chrono::steady_clock::now() > end) ::kill(child_, SIGKILL);
    }
    int status = 0;
    ::waitpid(std::exchange(child_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  bool drain(int milliseconds) {
    pollfd polled{master_, POLLIN, 0};
    while (::poll(&polled, 1, milliseconds) > 0) {
      std::array<char, 4096> buffer{};
      const ssize_t got = ::read(master_, buffer.data(), buffer.size());
      if (got <= 0) return false;
      fresh_.append(buffer.data(), static_cast<size_t>(got));
      milliseconds = 0;
    }
    return true;
  }
  int master_ = -1;
  pid_t child_ = -1;
  std::string fresh_;
};

/// The user's messages of a conversation that /save wrote: what the program really got.
std::vector<std::string> saved_questions(Terminal& terminal, const TemporaryFolder& folder) {
  const std::string file = (folder / "saved.json").string();
  terminal.type("/save " + file + "\r");
  terminal.await(" messages to ");
  std::ifstream in(file);
  const nlohmann::json object = nlohmann::json::parse(in, nullptr, false);
  std::vector<std::string> questions;
  if (!object.is_object()) return questions;
  for (const nlohmann::json& message : object["messages"]) {
    if (message["role"] == "user") questions.push_back(message["content"]);
  }
  return questions;
}

TEST(Chat, EditsWideCharactersAndRecallsThem) {
  const TemporaryFolder folder;
  Terminal terminal(folder);
  terminal.prompt();
  // 中文 with the last character taken back and typed again; an emoji and a full-width letter taken back.
  terminal.type(std::string("你好世界") + kBackspace + "人🎉Ａ" + kBackspace + kBackspace + "。\r");
  terminal.prompt();
  // The cursor goes two characters to the left and inserts there.
  terminal.type(std::string("ａ😀ｃ") + kLeft + kLeft + "中" + "\r");
  terminal.prompt();
  // History: two up, one down, and send it again with an addition.
  terminal.type(std::string(kUp) + kUp + kDown + kUp + "再来\r");
  terminal.prompt();
  EXPECT_THAT(saved_questions(terminal, folder), testing::ElementsAre("你好世人。", "ａ中😀ｃ", "你好世人。再来"));
  terminal.type("/exit\r");
  EXPECT_EQ(terminal.wait(), 0);
}

TEST(Chat, APasteOf200LinesIsOneMessage) {
  const TemporaryFolder folder;
  Terminal terminal(folder);
  terminal.prompt();
  std::string lines;
  for (int i = 1; i <= 200; ++i) lines += "第 " + std::to_string(i) + " 行 word\r";
  terminal.type("Read: \x1b[200~" + lines + "\x1b[201~ end\r");
  EXPECT_THAT(terminal.await("lines]"), HasSubstr("200 lines]"));
  terminal.prompt();
  const std::vector<std::string> questions = saved_questions(terminal, folder);
  ASSERT_EQ(questions.size(), 1U);
  EXPECT_EQ(std::count(questions[0].begin(), questions[0].end(), '\n'), 200);
  EXPECT_THAT(questions[0], testing::StartsWith("Read: 第 1 行 word\n第 2 行"));
  EXPECT_THAT(questions[0], testing::EndsWith("第 200 行 word\n end"));
  terminal.prompt();      // before that the terminal is not in the editor's hands, and Ctrl-D would be lost
  terminal.type("\x04");  // Ctrl-D
  EXPECT_EQ(terminal.wait(), 0);
}

TEST(Chat, CtrlCStopsTheAnswerAndNotTheProgram) {
  const TemporaryFolder folder;
  Terminal terminal(folder, {"-n", "5000", "--logit-bias", "2=-100"});  // never ends by itself
  terminal.prompt();
  terminal.type("Count from one to a thousand.\r");
  terminal.await("[?2004l");  // the line is taken: from here on Ctrl-C is a signal
  terminal.await(" ");        // and the answer has begun
  terminal.type("\x03");
  terminal.await("(stopped)");
  terminal.prompt();
  terminal.type("half a line\x03");  // drops the line
  terminal.await("^C");
  terminal.prompt();
  EXPECT_THAT(saved_questions(terminal, folder), testing::ElementsAre("Count from one to a thousand."));
  terminal.type("/exit\r");
  EXPECT_EQ(terminal.wait(), 0);
}

TEST(Chat, CommandsAndErrorsLeaveTheConversationGoing) {
  const TemporaryFolder folder;
  Terminal terminal(folder);
  terminal.prompt();
  terminal.type("/help\r");
  terminal.await("/stats");
  terminal.type("/sav x\r");
  terminal.await("did you mean /save");
  terminal.type("/system Be brief.\r");
  terminal.await("set");
  terminal.type("Hi\r");
  terminal.prompt();
  terminal.prompt();
  terminal.type("/stats\r");
  terminal.await("answers 1");
  terminal.await("(0 of them kept");
  terminal.type("Go on\r");
  terminal.prompt();
  terminal.prompt();
  terminal.type("/stats\r");
  terminal.await("answers 2");
  EXPECT_EQ(terminal.await("of them kept").find("(0 of"), std::string::npos) << "the first turn is not computed again";
  EXPECT_THAT(saved_questions(terminal, folder), testing::ElementsAre("Hi", "Go on"));
  terminal.type("/clear\r");
  terminal.await("empty");
  terminal.type("/load " + (folder / "saved.json").string() + "\r");
  terminal.await("loaded 5 messages");
  std::string endless;
  for (int i = 0; i < 9000; ++i) endless += "word\r";
  terminal.type("\x1b[200~" + endless + "\x1b[201~\r");
  terminal.await("error: the prompt has");
  EXPECT_THAT(saved_questions(terminal, folder), testing::ElementsAre("Hi", "Go on"))
      << "the question that failed is not kept";
  terminal.type("/exit\r");
  EXPECT_EQ(terminal.wait(), 0);
}

}  // namespace
}  // namespace autoglm
