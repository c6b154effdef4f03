// Workloads: the same for the same seed, of the sizes they should have, within any context; the user's files.
#include "tune/workload.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "support/errors.h"
#include "tune/workload_text.h"

namespace autoglm {
namespace {

WorkloadTokens tokens_of(const Tokenizer& tokenizer) {
  return {.encode = [&](std::string_view text) { return tokenizer.encode(text); }};
}

Workload make(std::string_view name, const WorkloadOptions& options = {}) {
  const auto tokenizer = word_tokenizer(5000);
  return make_workload(name, options, tokens_of(*tokenizer));
}

bool same(const Workload& a, const Workload& b) {
  if (a.requests.size() != b.requests.size()) return false;
  for (size_t i = 0; i < a.requests.size(); ++i) {
    const WorkloadRequest &x = a.requests[i], &y = b.requests[i];
    if (x.prompt != y.prompt || x.max_tokens != y.max_tokens || x.follows != y.follows || x.after != y.after)
      return false;
  }
  return true;
}

TEST(WorkloadTest, IsTheSameForTheSameSeedAndAnotherForAnother) {
  for (const std::string_view name : workload_names()) {
    const Workload first = make(name, {.seed = 7});
    EXPECT_TRUE(same(first, make(name, {.seed = 7}))) << name;
    EXPECT_FALSE(same(first, make(name, {.seed = 8}))) << name;
    EXPECT_EQ(std::ssize(first.requests), workload_defaults(name).requests) << name;
    EXPECT_EQ(first.users, workload_defaults(name).users) << name;
  }
}

TEST(WorkloadTest, TheGeneratorGivesTheseNumbersOnEveryMachine) {
  // SplitMix64 from state 1234567, as its authors publish it.
  WorkloadRandom random(1234567);
  EXPECT_EQ(random.next(), 6457827717110365317ULL);
  EXPECT_EQ(random.next(), 3203168211198807973ULL);
}

TEST(WorkloadTest, FewerRequestsAreTheBeginningOfMore) {
  const Workload all = make("chat", {.requests = 24}), some = make("chat", {.requests = 9});
  ASSERT_EQ(some.requests.size(), 9u);
  for (size_t i = 0; i < some.requests.size(); ++i) {
    EXPECT_EQ(some.requests[i].prompt, all.requests[i].prompt) << i;
    EXPECT_EQ(some.requests[i].max_tokens, all.requests[i].max_tokens) << i;
  }
}

TEST(WorkloadTest, ChatHasTheLengthsThatUsersHave) {
  const Workload chat = make("chat", {.requests = 4000});
  double answers = 0, turns = 0;
  for (const WorkloadRequest& request : chat.requests) {
    answers += static_cast<double>(request.max_tokens);
    turns += request.follows < 0 ? 1 : 0;
  }
  const auto count = static_cast<double>(chat.requests.size());
  EXPECT_NEAR(answers / count, 200, 20);  // LMSYS-Chat-1M: 214.5
  EXPECT_NEAR(count / turns, 1.9, 0.2);   // 2.0 turns
}

TEST(WorkloadTest, PromptsShareWhatTheirKindShares) {
  const Workload chat = make("chat", {.requests = 12});
  const std::vector<int32_t>* first = nullptr;
  for (const WorkloadRequest& request : chat.requests) {
    if (request.follows >= 0) {
      EXPECT_LT(request.prompt.size(), 500u);  // a question alone: the rest is before it
      continue;
    }
    if (first == nullptr) first = &request.prompt;
    EXPECT_TRUE(std::equal(first->begin(), first->begin() + 96, request.prompt.begin()));
  }
  const Workload rag = make("rag");
  for (const WorkloadRequest& request : rag.requests) EXPECT_GT(request.prompt.size(), 1700u);
}

TEST(WorkloadTest, ShrinksIntoAnyContext) {
  for (const std::string_view name : workload_names()) {
    for (const int64_t context : {32, 100, 511, 2048, 1 << 20}) {
      const Workload workload = make(name, {.context = context});
      EXPECT_LE(workload.longest(), context) << name;
      EXPECT_GT(workload.longest(), context < 600 ? context / 3 : 200) << name << ' ' << context;
      for (const WorkloadRequest& request : workload.requests) {
        EXPECT_GE(request.max_tokens, 1);
        EXPECT_FALSE(request.prompt.empty());
      }
    }
    EXPECT_ERROR(make(name, {.context = 31}), Code::context_exceeded, "32 tokens");
  }
}

TEST(WorkloadTest, ScaleScalesLengths) {
  const Workload whole = make("rag"), half = make("rag", {.scale = 0.5});
  EXPECT_NEAR(static_cast<double>(half.prompt_tokens()) / static_cast<double>(whole.prompt_tokens()), 0.5, 0.02);
  EXPECT_NEAR(static_cast<double>(half.answer_tokens()) / static_cast<double>(whole.answer_tokens()), 0.5, 0.02);
}

TEST(WorkloadTest, AnOpenLoopArrivesAsPoissonDoes) {
  const Workload open = make("batch", {.requests = 4000, .rate = 5});
  EXPECT_EQ(open.users, 0);
  std::vector<double> gaps;
  double last = 0;
  for (const WorkloadRequest& request : open.requests) {
    EXPECT_GE(request.after, last);
    gaps.push_back(request.after - last);
    last = request.after;
  }
  const double mean = std::accumulate(gaps.begin(), gaps.end(), 0.0) / static_cast<double>(gaps.size());
  double squares = 0;
  for (const double gap : gaps) squares += (gap - mean) * (gap - mean);
  EXPECT_NEAR(mean, 0.2, 0.01);
  EXPECT_NEAR(std::sqrt(squares / static_cast<double>(gaps.size())) / mean, 1, 0.06);  // exponential
}

TEST(WorkloadTest, AnUnknownNameNamesTheNearest) {
  const auto error = test::error_of([] { make("chta"); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), Code::bad_flag);
  EXPECT_EQ(error->hint(), "did you mean chat?");
}

TEST(WorkloadFileTest, ReadsWhatItDocuments) {
  const auto lines = read_workload_lines(
      "{\"prompt\": \"one two three\", \"max_tokens\": 5, \"at\": 0}\n\n"
      "{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}], \"at\": 1.5}\n",
      "mine.jsonl");
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0].prompt, "one two three");
  EXPECT_EQ(lines[0].max_tokens, 5);
  EXPECT_EQ(lines[1].max_tokens, 128);
  const auto tokenizer = word_tokenizer(100);
  WorkloadTokens tokens = tokens_of(*tokenizer);
  EXPECT_ERROR(make_workload(lines, "mine.jsonl", {}, tokens), Code::bad_file, "template");
  tokens.render = [](const std::string& messages) { return std::vector<int32_t>(messages.size(), 1); };
  const Workload open = make_workload(lines, "mine.jsonl", {}, tokens);
  EXPECT_EQ(open.users, 0);
  EXPECT_EQ(open.requests[1].after, 1.5);
  EXPECT_EQ(open.requests[0].prompt.size(), 3u);
  EXPECT_EQ(make_workload(lines, "mine.jsonl", {.users = 3}, tokens).users, 3);
  EXPECT_EQ(make_workload(lines, "mine.jsonl", {.requests = 1}, tokens).requests.size(), 1u);
  EXPECT_ERROR(make_workload(lines, "mine.jsonl", {.context = 40}, tokens), Code::context_exceeded, "request 2");
}

TEST(WorkloadFileTest, RefusesTheRestByLine) {
  const auto read = [](const std::string& text) { return read_workload_lines(text, "w.jsonl"); };
  EXPECT_ERROR(read(""), Code::bad_file, "no request");
  EXPECT_ERROR(read("{\"prompt\": \"a\"}\n[1]"), Code::bad_file, "line 2");
  EXPECT_ERROR(read("{\"prompt\": \"a\", \"tokens\": 3}"), Code::bad_file, "no key 'tokens'");
  EXPECT_ERROR(read("{\"max_tokens\": 3}"), Code::bad_file, "either");
  EXPECT_ERROR(read("{\"prompt\": \"a\", \"max_tokens\": 0}"), Code::bad_file, "max_tokens");
  EXPECT_ERROR(read("{\"prompt\": \"a\", \"max_tokens\": 1e300}"), Code::bad_file, "max_tokens");
  EXPECT_ERROR(read("{\"prompt\": \"a\", \"at\": -1}"), Code::bad_file, "\"at\"");
  EXPECT_ERROR(read("{\"prompt\": \"a\", \"at\": 1}\n{\"prompt\": \"a\"}"), Code::bad_file, "line 2");
  EXPECT_ERROR(read("{\"messages\": [{\"content\": 3}]}"), Code::bad_file, "line 1");
}

}  // namespace
}  // namespace autoglm
