#include "cli/program.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

namespace autoglm {
namespace {

namespace fs = std::filesystem;

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

[[noreturn]] void become(std::vector<std::string> words, std::vector<std::string> environment) {
  std::vector<char*> argv;
  std::vector<char*> envp;
  for (std::string& word : words) argv.push_back(word.data());
  for (std::string& line : environment) envp.push_back(line.data());
  argv.push_back(nullptr);
  envp.push_back(nullptr);
  execve(argv[0], argv.data(), envp.data());
  _exit(127);
}

}  // namespace

nlohmann::json ProgramRun::json() const {
  EXPECT_EQ(std::count(out.begin(), out.end(), '\n'), 1) << out;
  return nlohmann::json::parse(out);
}

// Streams go through files: no pipe to drain, no deadlock, and what a killed program wrote is there.
ProgramRun run_autoglm(const std::vector<std::string>& arguments, const ProgramOptions& options) {
  std::string folder = (fs::temp_directory_path() / "autoglm-cli-XXXXXX").string();
  EXPECT_NE(mkdtemp(folder.data()), nullptr);
  const fs::path dir = folder;
  std::ofstream(dir / "in", std::ios::binary) << options.input;
  std::vector<std::string> words = {AUTOGLM_BINARY};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<std::string> environment = options.environment;  // first: the first of a name is the one that counts
  for (const std::string& line : {std::string("PATH=/usr/bin:/bin"), "HOME=" + folder, std::string("LANG=C")}) {
    environment.push_back(line);
  }
  int pipe_ends[2] = {-1, -1};
  if (options.close_reader) {
    EXPECT_EQ(pipe(pipe_ends), 0);
    close(pipe_ends[0]);
  }
  const pid_t child = fork();
  if (child == 0) {
    dup2(open((dir / "in").c_str(), O_RDONLY), 0);
    if (options.close_reader) {
      dup2(pipe_ends[1], 1);
    } else {
      dup2(open((dir / "out").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), 1);
    }
    dup2(open((dir / "err").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), 2);
    if (options.close_stdout) close(1);
    become(std::move(words), std::move(environment));
  }
  if (pipe_ends[1] >= 0) close(pipe_ends[1]);
  if (options.interrupt_after_ms >= 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(options.interrupt_after_ms));
    kill(child, SIGINT);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  ProgramRun run;
  run.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  run.out = read_file(dir / "out");
  run.err = read_file(dir / "err");
  fs::remove_all(dir);
  return run;
}

}  // namespace autoglm
