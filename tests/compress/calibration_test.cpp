#include "compress/calibration.h"

#include <gtest/gtest.h>

#include <set>

#include "engine/dummy.h"
#include "model/model_support.h"
#include "support/errors.h"
#include "support/temporary_folder.h"

namespace autoglm {
namespace {

using test::DummyTokenizer;

ChatModel chat_of(std::string source, const char* text) {
  ChatModel chat;
  chat.spec = &chat_spec("llama");
  chat.chat_template = ChatTemplate::parse(text);
  chat.template_source = std::move(source);
  return chat;
}

TEST(Calibration, WindowsAreSpreadOverTheText) {
  const DummyTokenizer tokenizer;
  std::string text;
  for (int i = 0; i < 105; ++i) text += static_cast<char>('a' + i / 10);
  const Windows windows = text_windows(tokenizer, text, "f.txt", {.windows = 5, .length = 10});
  ASSERT_EQ(windows.size(), 5u);
  for (size_t i = 0; i < windows.size(); ++i) {
    EXPECT_EQ(windows[i], std::vector<int32_t>(10, static_cast<int32_t>(2 * i))) << i;
  }
  EXPECT_EQ(text_windows(tokenizer, text, "f.txt", {.windows = 99, .length = 10}).size(), 10u);
  EXPECT_ERROR(text_windows(tokenizer, "abc", "f.txt", {.windows = 5, .length = 10}), Code::bad_file,
               "f.txt has 3 tokens");
}

TEST(Calibration, ChatsAreRendered) {
  const DummyTokenizer tokenizer;
  const ChatModel chat =
      chat_of("file", "{% for m in messages %}z{{ m.content }}{% endfor %}{% if add_generation_prompt %}y{% endif %}");
  const std::string lines =
      "{\"messages\": [{\"role\": \"user\", \"content\": \"ab\"}, {\"role\": \"assistant\", \"content\": \"c\"}]}\n"
      "\n{\"text\": \"de\"}\n";
  const Windows windows = chat_windows(tokenizer, chat, lines, "f.jsonl", {.windows = 9, .length = 7});
  ASSERT_EQ(windows.size(), 1u);
  EXPECT_EQ(windows[0], (std::vector<int32_t>{25, 0, 1, 25, 2, 3, 4}));
  const CalibrationShape shape{.windows = 1, .length = 1};
  EXPECT_ERROR(chat_windows(tokenizer, chat, lines + "{\"messages\": []}", "f.jsonl", shape), Code::bad_file,
               "f.jsonl line 4");
  EXPECT_ERROR(chat_windows(tokenizer, chat, lines + "{\"words\": 1}", "f.jsonl", shape), Code::bad_file, "line 4");
}

TEST(Calibration, TheModelWritesTheSameTextEveryTime) {
  test::TemporaryFolder folder;
  const auto source = test::open_golden("llama-b", "config.json", folder.path());
  const int64_t vocabulary = test::read_golden("llama-b").vocabulary;
  DummyTokenizer tokenizer;
  tokenizer.pieces.resize(static_cast<size_t>(vocabulary), "x");
  const ChatModel chat = chat_of("file", "{{ messages[0].content }}");
  std::vector<Windows> written;
  for (const int threads : {1, 2}) {
    Runtime runtime = test::test_runtime("auto", threads);
    int64_t told = 0;
    written.push_back(own_windows(source, runtime, tokenizer, chat, {.windows = 6, .length = 64}, {},
                                  [&](int64_t done, int64_t total) {
                                    EXPECT_EQ(total, 6 * 64);
                                    told = done;
                                  }));
    EXPECT_EQ(told, 6 * 64);
  }
  ASSERT_EQ(written[0].size(), 6u);
  EXPECT_EQ(written[0], written[1]);
  std::set<std::vector<int32_t>> different(written[0].begin(), written[0].end());
  EXPECT_EQ(different.size(), 6u);
  Runtime runtime = test::test_runtime("auto");
  const Windows other = own_windows(source, runtime, tokenizer, chat, {.windows = 6, .length = 64, .seed = 2}, {}, {});
  for (const std::vector<int32_t>& window : other) EXPECT_FALSE(different.contains(window));
  const auto interrupted = [] { fail(Code::interrupted, "interrupted"); };
  EXPECT_ERROR(own_windows(source, runtime, tokenizer, chat, {.windows = 6, .length = 64}, interrupted, {}),
               Code::interrupted, "interrupted");
}

TEST(Calibration, SeedsDiffer) {
  std::set<std::string_view> texts;
  for (const CalibrationSeed& seed : calibration_seeds()) texts.insert(seed.text);
  EXPECT_EQ(texts.size(), calibration_seeds().size());
  EXPECT_GE(texts.size(), 16u);
}

}  // namespace
}  // namespace autoglm
