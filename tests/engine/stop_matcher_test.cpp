#include "engine/stop_matcher.h"

#include <gtest/gtest.h>

namespace autoglm {
namespace {

std::string fed(StopMatcher& matcher, const std::string& text, size_t piece) {
  std::string out;
  for (size_t i = 0; i < text.size(); i += piece) out += matcher.push(text.substr(i, piece));
  return out;
}

TEST(StopMatcher, CutsAtTheFirstStopHoweverTheTextArrives) {
  for (size_t piece = 1; piece <= 12; ++piece) {
    StopMatcher matcher({"END", "</s>"});
    EXPECT_EQ(fed(matcher, "an ENEND</s> more", piece), "an EN") << piece;
    EXPECT_TRUE(matcher.stopped());
    EXPECT_EQ(matcher.push("after"), "");
    EXPECT_EQ(matcher.finish(), "");
  }
}

TEST(StopMatcher, HoldsBackOnlyWhatMayBecomeAStop) {
  StopMatcher matcher({"###", "\n\nUser"});
  EXPECT_EQ(matcher.push("hello\n"), "hello");
  EXPECT_EQ(matcher.push("\nUs"), "");
  EXPECT_EQ(matcher.push("a"), "\n\nUsa");
  EXPECT_EQ(matcher.push("##"), "");
  EXPECT_EQ(matcher.finish(), "##");
  EXPECT_FALSE(matcher.stopped());
}

TEST(StopMatcher, OverlapsAndEmptyStops) {
  StopMatcher overlap({"aab"});
  EXPECT_EQ(fed(overlap, "aaab", 1), "a");
  EXPECT_TRUE(overlap.stopped());
  StopMatcher none({""});
  EXPECT_EQ(none.push("text"), "text");
}

std::pair<std::string, std::string> split(const std::string& text, size_t piece, ReasoningStart start) {
  ReasoningSplitter splitter("<think>", "</think>", start);
  std::string reasoning;
  std::string answer;
  const auto take = [&](const std::vector<ReasoningSplitter::Part>& parts) {
    for (const auto& part : parts) (part.kind == Event::Kind::reasoning ? reasoning : answer) += part.text;
  };
  for (size_t i = 0; i < text.size(); i += piece) take(splitter.push(text.substr(i, piece)));
  take(splitter.finish());
  return {reasoning, answer};
}

TEST(ReasoningSplitter, TellsReasoningFromAnswerHoweverTheTextArrives) {
  using Pair = std::pair<std::string, std::string>;
  for (size_t piece = 1; piece <= 40; ++piece) {
    EXPECT_EQ(split("\n<think>\nhm < 3</think>\n\nAnswer <think> x", piece, ReasoningStart::at_mark),
              Pair("hm < 3", "Answer <think> x"));
    EXPECT_EQ(split("No <think>marks</think>", piece, ReasoningStart::at_mark), Pair("", "No <think>marks</think>"));
    EXPECT_EQ(split("\nhm</think>yes", piece, ReasoningStart::open), Pair("hm", "yes"));
    EXPECT_EQ(split("never closed</thi", piece, ReasoningStart::open), Pair("never closed</thi", ""));
    EXPECT_EQ(split("<think>raw</think>", piece, ReasoningStart::none), Pair("", "<think>raw</think>"));
    EXPECT_EQ(split("  <thi", piece, ReasoningStart::at_mark), Pair("", "  <thi"));
  }
}

}  // namespace
}  // namespace autoglm
