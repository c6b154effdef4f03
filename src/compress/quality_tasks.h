// Accuracy on a file of tasks: questions with choices, or with the answer that is expected.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "model/model.h"
#include "text/tokenizer.h"

namespace autoglm {

/// With choices: the one whose log-likelihood, divided by its bytes, is greatest is the model's answer (acc_norm of
/// EleutherAI's lm-evaluation-harness). Without: what the model writes greedily must begin with `expected`,
/// as whole words.
struct QualityTask {
  int64_t line = 0;
  std::string prompt;
  std::vector<std::string> choices;
  int64_t answer = 0;  // index of the right choice
  std::string expected;
};

/// A line is {"prompt", "choices": [...], "answer": index or text} or {"prompt", "expected"}; empty lines are passed
/// over. What else a line has is not read. Errors: bad_file that names the line; limit_exceeded beyond 100,000 tasks or
/// 64 choices.
std::vector<QualityTask> read_tasks(std::string_view jsonl, const std::string& name);

struct TaskFigures {
  int64_t choice_tasks = 0, exact_tasks = 0;
  int64_t right_a = 0, right_b = 0, right_both = 0;
  std::vector<int64_t> lost;  // lines that A gets right and B does not, at most 20
  int64_t count() const { return choice_tasks + exact_tasks; }
};

struct QualityModel;

/// Runs all tasks on both models. Errors: context_exceeded naming the line of a task that does not fit; numeric.
TaskFigures run_tasks(const QualityModel& a, const QualityModel& b, const std::vector<QualityTask>& tasks,
                      const std::function<void(int64_t done, int64_t total)>& progress);

}  // namespace autoglm
