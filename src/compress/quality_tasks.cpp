#include "compress/quality_tasks.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "compress/quality_divergence.h"
#include "compress/quality_report.h"
#include "text/json_lines.h"
#include "text/utf8.h"

namespace autoglm {
namespace {

constexpr size_t kMostTasks = 100000;
constexpr size_t kMostChoices = 64;
constexpr size_t kMostLost = 20;
constexpr int64_t kSlackTokens = 8;  // a greedy answer may be cut into more tokens than the expected text

int64_t read_answer(const nlohmann::json& object, const std::vector<std::string>& choices, const std::string& name,
                    int64_t line) {
  const auto found = object.find("answer");
  if (found != object.end() && found->is_number_integer()) {
    const auto index = found->get<int64_t>();
    if (index >= 0 && index < std::ssize(choices)) return index;
  }
  if (found != object.end() && found->is_string()) {
    const auto place = std::ranges::find(choices, found->get<std::string>());
    if (place != choices.end()) return place - choices.begin();
  }
  fail_line(name, line, "\"answer\" is neither the index of a choice (from 0) nor one of them");
}

QualityTask read_task(const nlohmann::json& object, const std::string& name, int64_t line) {
  QualityTask task;
  task.line = line;
  task.prompt = line_text(object, "prompt", name, line);
  if (task.prompt.empty()) fail_line(name, line, "\"prompt\" is empty");
  const auto choices = object.find("choices");
  if ((choices != object.end()) == object.contains("expected")) {
    fail_line(name, line, "a task has either \"choices\" or \"expected\"");
  }
  if (choices == object.end()) {
    task.expected = line_text(object, "expected", name, line);
    if (task.expected.find_first_not_of(" \t\r\n") == std::string::npos) fail_line(name, line, "\"expected\" is empty");
    return task;
  }
  if (!choices->is_array() || choices->size() < 2) fail_line(name, line, "\"choices\" is not a list of two or more");
  if (choices->size() > kMostChoices)
    fail(Code::limit_exceeded, fmt::format("{} line {}: over 64 choices", name, line));
  for (const nlohmann::json& choice : *choices) {
    if (!choice.is_string() || choice.get_ref<const std::string&>().empty()) {
      fail_line(name, line, "a choice is empty or not a text");
    }
    task.choices.push_back(choice.get<std::string>());
  }
  task.answer = read_answer(object, task.choices, name, line);
  return task;
}

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") + 1 - begin);
}

/// One model that answers tasks.
class Answerer {
 public:
  explicit Answerer(const QualityModel& side) : side_(side), kv_(side.model->make_kv_cache()) {
    for (const int32_t id : side.tokenizer->ends()) ends_.push_back(id);
  }

  bool right(const QualityTask& task) { return task.choices.empty() ? writes_expected(task) : chooses_right(task); }

 private:
  std::vector<int32_t> encode(const std::string& text) const {
    EncodeOptions options;
    options.add_special = true;
    return side_.tokenizer->encode(text, options);
  }

  void check_room(const QualityTask& task, int64_t tokens) const {
    if (tokens <= side_.model->context()) return;
    fail(Code::context_exceeded,
         fmt::format("the task of line {} needs {} tokens and the context holds {}", task.line, tokens,
                     side_.model->context()),
         "use a larger --ctx, or leave the task out");
  }

  // Prompt and choice are tokenized together, since a token may span their border; what is not the prompt's own
  // beginning is the choice (as lm-evaluation-harness does it).
  bool chooses_right(const QualityTask& task) {
    const std::vector<int32_t> prompt = encode(task.prompt);
    double best = -INFINITY;
    int64_t chosen = -1;
    for (int64_t i = 0; i < std::ssize(task.choices); ++i) {
      const std::string& choice = task.choices[static_cast<size_t>(i)];
      const std::vector<int32_t> whole = encode(task.prompt + choice);
      const auto border = std::ranges::mismatch(prompt, whole).in1 - prompt.begin();
      check_room(task, std::ssize(whole));
      const double likelihood = continuation(whole, border) / static_cast<double>(choice.size());
      if (likelihood > best) {
        best = likelihood;
        chosen = i;
      }
    }
    return chosen == task.answer;
  }

  // log p of the tokens from `border` on, given those before.
  double continuation(std::span<const int32_t> tokens, int64_t border) {
    const SequenceId sequence = kv_->create();
    double sum = 0;
    const int64_t first = std::max<int64_t>(0, border - 1);  // its logits say the token at first + 1
    const auto count = std::ssize(tokens) - 1;
    for (int64_t done = 0; done < count;) {
      const int64_t most = done < first ? first - done : side_.model->max_logit_rows();
      const int64_t rows = std::min({most, count - done, side_.model->max_rows()});
      const std::span<const float> logits = step(
          sequence, tokens.subspan(static_cast<size_t>(done), static_cast<size_t>(rows)), done >= first ? rows : 0);
      for (int64_t i = 0; done >= first && i < rows; ++i) {
        sum += finite(log_probability(row(logits, i), tokens[static_cast<size_t>(done + i) + 1]));
      }
      done += rows;
    }
    kv_->free(sequence);
    return sum;
  }

  // The greedy answer, less the white space before it, must begin with the expected text and not go on inside its last
  // word: "4" is not found in "42".
  bool writes_expected(const QualityTask& task) {
    std::vector<int32_t> tokens = encode(task.prompt);
    if (tokens.empty()) return false;
    const std::string_view expected = trimmed(task.expected);
    const int64_t most = std::ssize(side_.tokenizer->encode(task.expected)) + kSlackTokens;
    check_room(task, std::ssize(tokens) + most);
    const size_t prompt = tokens.size();
    const SequenceId sequence = kv_->create();
    std::string answer;
    for (size_t done = 0; std::ssize(tokens) - static_cast<int64_t>(prompt) < most;) {
      const int32_t next = greedy(sequence, std::span(tokens).subspan(done));
      done = tokens.size();
      if (std::ranges::find(ends_, next) != ends_.end()) break;
      tokens.push_back(next);
      answer = side_.tokenizer->decode(std::span(tokens).subspan(prompt));
      // A character's last bytes may still be missing.
      if (trimmed(answer).size() >= expected.size() + 4) break;
    }
    kv_->free(sequence);
    const std::string said = utf8::lossy(answer.substr(std::min(answer.find_first_not_of(" \t\r\n"), answer.size())));
    if (!std::string_view(said).starts_with(expected)) return false;
    size_t end = expected.size();
    if (end == said.size()) return true;
    const bool inside = utf8::is_word(last_character(expected)) && utf8::is_word(utf8::next(said, end));
    return !inside;
  }

  static char32_t last_character(std::string_view text) {
    size_t at = utf8::previous(text, text.size());
    return utf8::next(text, at);
  }

  int32_t greedy(SequenceId sequence, std::span<const int32_t> tokens) {
    while (std::ssize(tokens) > side_.model->max_rows()) {
      step(sequence, tokens.first(static_cast<size_t>(side_.model->max_rows())), 0);
      tokens = tokens.subspan(static_cast<size_t>(side_.model->max_rows()));
    }
    if (tokens.size() > 1) {
      step(sequence, tokens.first(tokens.size() - 1), 0);
      tokens = tokens.last(1);
    }
    const std::span<const float> logits = row(step(sequence, tokens, 1), 0);
    const auto best = std::ranges::max_element(logits);
    finite(*best);
    return static_cast<int32_t>(best - logits.begin());
  }

  std::span<const float> step(SequenceId sequence, std::span<const int32_t> tokens, int64_t wanted) {
    const auto rows = std::ssize(tokens);
    AUTOGLM_CHECK(kv_->append(sequence, rows), "check_room() saw to it");
    logit_rows_.clear();
    for (int64_t i = rows - wanted; i < rows; ++i) logit_rows_.push_back(static_cast<int32_t>(i));
    const BatchSequence part{.sequence = sequence, .row_begin = 0, .rows = rows, .adapter = 0};
    return side_.model->forward(
        {.tokens = tokens, .embeddings = {}, .positions = {}, .sequences = {&part, 1}, .logit_rows = logit_rows_},
        *kv_);
  }

  std::span<const float> row(std::span<const float> logits, int64_t index) const {
    const auto vocabulary = static_cast<size_t>(side_.model->spec().vocabulary);
    return logits.subspan(static_cast<size_t>(index) * vocabulary, vocabulary);
  }

  double finite(double value) const {
    if (std::isfinite(value)) return value;
    fail(Code::numeric, fmt::format("{} computed a logit that is not a finite number", side_.name),
         "the weights may be damaged: check the file's hash");
  }

  const QualityModel& side_;
  std::unique_ptr<KvCache> kv_;
  std::vector<int32_t> ends_;
  std::vector<int32_t> logit_rows_;
};

}  // namespace

std::vector<QualityTask> read_tasks(std::string_view jsonl, const std::string& name) {
  std::vector<QualityTask> out;
  for_each_json_line(jsonl, name, [&](int64_t line, const nlohmann::json& object) {
    if (out.size() == kMostTasks) fail(Code::limit_exceeded, fmt::format("{} has more than 100,000 tasks", name));
    out.push_back(read_task(object, name, line));
  });
  if (out.empty()) fail(Code::bad_file, fmt::format("{} has no tasks", name), "each line is one JSON object");
  return out;
}

TaskFigures run_tasks(const QualityModel& a, const QualityModel& b, const std::vector<QualityTask>& tasks,
                      const std::function<void(int64_t done, int64_t total)>& progress) {
  TaskFigures out;
  Answerer of_a(a);
  Answerer of_b(b);
  for (const QualityTask& task : tasks) {
    ++(task.choices.empty() ? out.exact_tasks : out.choice_tasks);
    const bool right_a = of_a.right(task);
    const bool right_b = of_b.right(task);
    out.right_a += right_a ? 1 : 0;
    out.right_b += right_b ? 1 : 0;
    out.right_both += right_a && right_b ? 1 : 0;
    if (right_a && !right_b && out.lost.size() < kMostLost) out.lost.push_back(task.line);
    if (progress) progress(out.count(), std::ssize(tasks));
  }
  return out;
}

}  // namespace autoglm
