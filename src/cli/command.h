// What a command is, and what it is given.
//
// A command is a row of the table in commands.cpp: `extern const Command kRun;` in commands.h, defined in cmd_run.cpp.
// Which flags it takes is said in the settings table (base/settings_table.cpp, column `commands`).
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/interrupt.h"
#include "base/language.h"
#include "base/settings.h"
#include "hw/machine.h"

namespace autoglm {

/// An argument without a flag. A first positional named MODEL may also come from --model, the environment or the file.
struct Positional {
  std::string_view name;  // "MODEL"
  bool required = true;
  Text help;
};

struct Example {
  std::string_view line;
  Text help;
};

class Context;

struct Command {
  std::string_view name;
  Text summary = {};  // one line
  std::vector<Positional> positionals = {};
  Text details = {};  // paragraphs below the summary on the help page; may be empty
  std::vector<Example> examples = {};
  std::string_view json_keys = {};         // "text, token_ids, ...": what --json promises
  int (*run)(Context& context) = nullptr;  // returns the exit code; throws Error
  bool hidden = false;                     // not listed (completion, man)
};

/// The line on stderr that shows how far long work is. Shows nothing unless stderr is a terminal, nothing with --quiet,
/// and nothing in the first half second. Thread-safe.
class Progress {
 public:
  /// `total` 0: unknown. `bytes`: amounts are shown as MiB.
  Progress(bool enabled, std::string label, int64_t total, bool bytes);
  ~Progress();  // clears the line
  Progress(Progress&&) noexcept;
  Progress& operator=(Progress&&) = delete;
  void update(int64_t done);
  void set_total(int64_t total);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Thrown when the reader of stdout has gone away (a closed pipe). `main` ends quietly.
struct OutputClosed {};

/// Everything a command works with. Answers go through print(); log lines and progress to stderr.
class Context {
 public:
  Context(const Command& command, Settings& settings, const Machine& machine, const Interrupt& interrupt)
      : command_(command), settings_(settings), machine_(machine), interrupt_(interrupt) {}

  const Command& command() const { return command_; }
  const Settings& settings() const { return settings_; }
  Settings& mutable_settings() { return settings_; }  // for what a model suggests: origin `machine` only
  const Machine& machine() const { return machine_; }
  const Interrupt& interrupt() const { return interrupt_; }
  Language language() const { return settings_.language(); }
  bool json() const { return settings_.boolean("json"); }
  bool quiet() const { return settings_.boolean("quiet"); }

  /// The positional of that name; empty if it was not given.
  const std::string& argument(std::string_view name) const;
  bool has_argument(std::string_view name) const;
  void set_argument(std::string_view name, std::string value);

  /// Writes to stdout at once. Throws OutputClosed, or Error disk_full / work_failed.
  void print(std::string_view text) const;
  /// The one JSON object of --json. Invalid UTF-8 is replaced, never an error.
  void print_json(const nlohmann::json& object) const;
  /// One line for people on stderr, unless --quiet.
  void note(std::string_view text) const;
  Progress progress(std::string label, int64_t total, bool bytes = true) const;

 private:
  const Command& command_;
  Settings& settings_;
  const Machine& machine_;
  const Interrupt& interrupt_;
  std::vector<std::pair<std::string_view, std::string>> arguments_;
};

/// All commands, in the order of the help page.
const std::vector<const Command*>& commands();
const Command* find_command(std::string_view name);

/// Whole program: parses, runs, reports; returns the exit code. `interrupt` is what Ctrl-C sets.
int run_program(const std::vector<std::string>& arguments, const std::vector<std::string>& environment,
                const Interrupt& interrupt);

}  // namespace autoglm
