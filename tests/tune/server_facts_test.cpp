// What a server says of its last requests: the slow one among them is found, and the stage that made it slow.
#include "tune/server_facts.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>

#include "tune/rules.h"

namespace autoglm {
namespace {

/// Milliseconds: network, prepare, queue, prefill, decode, serialization.
using Stages = std::array<double, 6>;

std::string request(const std::string& id, const Stages& ms, int prompt = 100, int answer = 50, int status = 200,
                    int preemptions = 0) {
  double sum = 0;
  for (const double one : ms) sum += one;
  return fmt::format(
      R"({{"id":"{}","route":"/v1/completions","status":{},"ms":{},"stages_ms":{{"network":{},"prepare":{},"queue":{},)"
      R"("prefill":{},"decode":{},"serialization":{}}},"choices":1,"prompt_tokens":{},"cached_tokens":0,)"
      R"("completion_tokens":{},"preemptions":{}}})",
      id, status, sum, ms[0], ms[1], ms[2], ms[3], ms[4], ms[5], prompt, answer, preemptions);
}

constexpr Stages kOrdinary = {1, 2, 3, 50, 500, 1};

std::optional<SlowRequest> slow_among_ordinary(const std::string& other, int ordinary = 8) {
  std::string all = other;
  for (int i = 0; i < ordinary; ++i) all += (all.empty() ? "" : ",") + request(fmt::format("req-{}", i), kOrdinary);
  Facts facts;
  read_request_facts(facts, "{\"requests\":[" + all + "]}");
  return facts.slow;
}

TEST(RequestFacts, NameTheStageThatMadeARequestSlow) {
  const std::array<const char*, 6> names = {"network", "prepare", "queue", "prefill", "decode", "serialization"};
  for (size_t stage = 0; stage < names.size(); ++stage) {
    Stages ms = kOrdinary;
    ms[stage] += 3000;
    const auto slow = slow_among_ordinary(request("the-one", ms));
    ASSERT_TRUE(slow) << names[stage];
    EXPECT_EQ(slow->id, "the-one");
    EXPECT_EQ(slow->stage, names[stage]);
    EXPECT_DOUBLE_EQ(slow->stage_seconds, ms[stage] / 1e3);
    EXPECT_DOUBLE_EQ(slow->expected_seconds, kOrdinary[stage] / 1e3);
    EXPECT_EQ(slow->compared, 8);
    Facts facts;
    facts.slow = slow;
    const std::vector<Finding> findings = diagnose(facts, Language::en);
    ASSERT_EQ(findings.size(), 1U);
    EXPECT_EQ(findings[0].cause, "slow_request");
    EXPECT_NE(findings[0].evidence.find(names[stage]), std::string::npos);
  }
}

TEST(RequestFacts, WhoAskedForMoreIsNotSlow) {
  EXPECT_FALSE(slow_among_ordinary(request("long", {1, 2, 3, 500, 10000, 1}, 1000, 1000)));
  EXPECT_TRUE(slow_among_ordinary(request("slow", {1, 2, 3, 500, 60000, 1}, 1000, 1000)));
  EXPECT_FALSE(slow_among_ordinary(request("a-little", {1, 2, 60, 50, 500, 1}))) << "not worth a word";
  EXPECT_FALSE(slow_among_ordinary(request("waited", {1, 2, 400, 50, 500, 1}))) << "less than half of its time";
  EXPECT_FALSE(slow_among_ordinary(request("refused", {1, 2, 9000, 0, 0, 1}, 100, 0, 429)));
  EXPECT_FALSE(slow_among_ordinary(request("first", {1, 2, 9000, 50, 500, 1}), 3)) << "too few to compare with";
  EXPECT_FALSE(slow_among_ordinary(""));
}

TEST(RequestFacts, TheFixKnowsOfPreemptions) {
  Facts facts;
  facts.slow = slow_among_ordinary(request("back", {1, 2, 3, 50, 9000, 1}, 100, 50, 200, 4));
  ASSERT_TRUE(facts.slow);
  EXPECT_NE(diagnose(facts, Language::en)[0].fix.find("4 times"), std::string::npos);
}

TEST(RequestFacts, WhatIsNoListOfRequestsSaysNothing) {
  const std::string deep = std::string(100000, '[');
  for (const std::string& bad :
       {std::string(), std::string("x"), std::string("[]"), std::string(R"({"requests":7})"), deep,
        std::string(R"({"requests":[1,"a",null,{},{"status":200,"choices":1},{"status":200,"choices":1,"stages_ms":{},)"
                    R"("id":5,"ms":"x"}]})"),
        R"({"requests":[)" + request("\\u001b[31m\\n", {1e308, -5, 2, 3, 4, 5}) + "]}"}) {
    Facts facts;
    read_request_facts(facts, bad);
    EXPECT_FALSE(facts.slow);
  }
  const auto slow = slow_among_ordinary(request("a\\u001b[31m b", {1, 2, 9000, 50, 500, 1}));
  ASSERT_TRUE(slow);
  EXPECT_EQ(slow->id, "a[31mb") << "nothing that a terminal obeys";
}

}  // namespace
}  // namespace autoglm
