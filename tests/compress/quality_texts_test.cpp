// Files that users give: texts and tasks by the line; and texts that are not as disjoint as they should be.
#include "compress/quality_texts.h"

#include "compress/quality_tasks.h"
#include "support/errors.h"

namespace autoglm {
namespace {

TEST(TextLines, AreJoinedByKindInOrder) {
  const auto texts = read_text_lines(
      "{\"text\": \"one\", \"kind\": \"chat\"}\n\n{\"text\": \"two\"}\r\n{\"kind\": \"chat\", \"text\": \"three\", "
      "\"id\": 7}",
      "f.jsonl", "text");
  ASSERT_EQ(texts.size(), 2u);
  EXPECT_EQ(texts[0].kind, "chat");
  EXPECT_EQ(texts[0].text, "one\n\nthree");
  EXPECT_EQ(texts[1].kind, "text");
  EXPECT_EQ(texts[1].text, "two");
  EXPECT_EQ(texts[1].name, "f.jsonl");
}

TEST(TextLines, BadOnesAreNamedByNumber) {
  const auto read = [](const std::string& text) { return read_text_lines(text, "f.jsonl", "text"); };
  const std::string good = "{\"text\": \"one\"}\n\n";
  EXPECT_ERROR(read(good + "{\"text\": 1}"), Code::bad_file, "f.jsonl line 3: \"text\" is missing or not a text");
  EXPECT_ERROR(read(good + "[1]"), Code::bad_file, "line 3: not a JSON object");
  EXPECT_ERROR(read(good + "{\"text\": \"a\"} x"), Code::bad_file, "line 3");
  EXPECT_ERROR(read(good + "{\"text\": \"\xff\"}"), Code::bad_file, "line 3");
  EXPECT_ERROR(read(good + "{\"text\": \"a\", \"kind\": \"\"}"), Code::bad_file, "\"kind\" is not a word");
  EXPECT_ERROR(read(good + "{\"text\": " + std::string(100000, '[')), Code::bad_file, "nested beyond 32 levels");
  std::string many;
  for (int i = 0; i < 65; ++i) many += "{\"text\": \"a\", \"kind\": \"k" + std::to_string(i) + "\"}\n";
  EXPECT_ERROR(read(many), Code::limit_exceeded, "more than 64 kinds");
}

TEST(TaskLines, AreReadInBothForms) {
  const auto tasks = read_tasks(
      "{\"prompt\": \"2+2=\", \"choices\": [\"3\", \"4\"], \"answer\": 1}\n"
      "{\"prompt\": \"2+2=\", \"choices\": [\"3\", \"4\"], \"answer\": \"3\"}\n\n"
      "{\"prompt\": \"2+2=\", \"expected\": \"4\", \"note\": null}\n",
      "t.jsonl");
  ASSERT_EQ(tasks.size(), 3u);
  EXPECT_EQ(tasks[0].answer, 1);
  EXPECT_EQ(tasks[1].answer, 0);
  EXPECT_EQ(tasks[2].expected, "4");
  EXPECT_EQ(tasks[2].line, 4);
}

TEST(TaskLines, BadOnesAreNamedByNumber) {
  const auto read = [](const std::string& text) { return read_tasks("\n" + text, "t.jsonl"); };
  EXPECT_ERROR(read("{}"), Code::bad_file, "t.jsonl line 2: \"prompt\"");
  EXPECT_ERROR(read("{\"prompt\": \"\", \"expected\": \"a\"}"), Code::bad_file, "\"prompt\" is empty");
  EXPECT_ERROR(read("{\"prompt\": \"a\"}"), Code::bad_file, "either \"choices\" or \"expected\"");
  EXPECT_ERROR(read("{\"prompt\": \"a\", \"expected\": \"b\", \"choices\": [\"c\", \"d\"]}"), Code::bad_file, "either");
  EXPECT_ERROR(read("{\"prompt\": \"a\", \"expected\": \" \"}"), Code::bad_file, "\"expected\" is empty");
  EXPECT_ERROR(read("{\"prompt\": \"a\", \"choices\": [\"c\"], \"answer\": 0}"), Code::bad_file, "two or more");
  EXPECT_ERROR(read("{\"prompt\": \"a\", \"choices\": [\"c\", \"\"], \"answer\": 0}"), Code::bad_file, "a choice");
  for (const char* answer : {"2", "-1", "\"x\"", "1.5", "null", "18446744073709551615"}) {
    EXPECT_ERROR(read("{\"prompt\": \"a\", \"choices\": [\"c\", \"d\"], \"answer\": " + std::string(answer) + "}"),
                 Code::bad_file, "\"answer\" is neither");
  }
  EXPECT_ERROR(read("\n \n"), Code::bad_file, "has no tasks");
}

std::string numbered(int from, int to) {
  std::string out;
  for (int i = from; i < to; ++i) out += "Sentence " + std::to_string(i * 7919) + " says this and no other. ";
  return out;
}

TEST(TextFingerprint, FindsSharedPassagesWhereverTheyStand) {
  const std::string calibration = numbered(0, 400);
  const TextFingerprint fingerprint(calibration);
  EXPECT_GT(fingerprint.overlap(calibration), 0.97);
  EXPECT_GT(fingerprint.overlap("x" + calibration), 0.97);
  EXPECT_EQ(fingerprint.overlap(numbered(1000, 1400)), 0);
  EXPECT_EQ(fingerprint.overlap(""), 0);
  const std::string own = numbered(2000, 2100);
  const std::string shared = calibration.substr(1001, 2 * TextFingerprint::kPiece - 1);
  const double found = fingerprint.overlap(own + shared + own);
  EXPECT_GT(found, 0);
  EXPECT_LT(found, static_cast<double>(shared.size() + 1) / static_cast<double>(own.size()));
  EXPECT_EQ(TextFingerprint("short").overlap(calibration), 0);
}

TEST(QualitySha256, IsThatOfTheBytes) {
  EXPECT_EQ(quality_sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

}  // namespace
}  // namespace autoglm
