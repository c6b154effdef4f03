// Every template of llama.cpp's source and every built-in one, over many conversations: byte for byte what Jinja2
// gives. The same of conversations whose last message is not finished, against transformers. Made by
// tools/make_template_goldens.py.
#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "support/read_file.h"
#include "text/chat_continuation.h"
#include "text/chat_spec.h"
#include "text/chat_template.h"
#include "text/jinja_unicode.h"

namespace autoglm {
namespace {

using test::read_file;

struct Goldens {
  Json json;
  std::vector<std::string> texts;

  explicit Goldens(const std::string& name = "goldens.json")
      : json(Json::parse(read_file(AUTOGLM_TEST_DATA "/templates/" + name))) {
    std::string previous;
    for (const Json& item :
         json["texts"]) {  // [characters shared with the start, middle, characters shared with the end]
      const size_t head = jinja::char_offset(previous, item[0].get<size_t>());
      const size_t chars = jinja::count_chars(previous);
      const size_t tail = jinja::char_offset(previous, chars - item[2].get<size_t>());
      previous = previous.substr(0, head) + item[1].get<std::string>() + previous.substr(tail);
      texts.push_back(previous);
    }
  }
};

TemplateInput make_input(const Json& golden, const Json& messages, const std::string& setting) {
  TemplateInput input;
  const Json& settings = golden["settings"][setting];
  input.messages = messages;
  if (settings.contains("tools")) input.tools = settings["tools"];
  if (settings.contains("variables")) input.variables = settings["variables"];
  input.add_generation_prompt = settings["add_generation_prompt"].get<bool>();
  input.bos_token = golden["bos_token"].get<std::string>();
  input.eos_token = golden["eos_token"].get<std::string>();
  std::tm now{};
  strptime(golden["now"].get<std::string>().c_str(), "%Y-%m-%d %H:%M:%S", &now);
  now.tm_isdst = -1;
  input.now = std::chrono::system_clock::from_time_t(std::mktime(&now));
  return input;
}

/// Where two texts part, with a little of both.
std::string difference(const std::string& want, const std::string& got) {
  size_t at = 0;
  while (at < want.size() && at < got.size() && want[at] == got[at]) ++at;
  const size_t from = at > 60 ? at - 60 : 0;
  return "at byte " + std::to_string(at) +
         "\n  want: " + Json(want.substr(from, 160)).dump(-1, ' ', false, Json::error_handler_t::replace) +
         "\n  got:  " + Json(got.substr(from, 160)).dump(-1, ' ', false, Json::error_handler_t::replace);
}

void check_template(const Goldens& goldens, const std::string& name, const std::string& source, const Json& results) {
  std::unique_ptr<ChatTemplate> parsed;
  std::string parse_error;
  try {
    parsed = ChatTemplate::parse(source);
  } catch (const Error& error) {
    parse_error = error.what();
  }
  const Json& cases = goldens.json["cases"];
  for (size_t i = 0; i < cases.size(); ++i) {
    const std::string where = name + ", " + cases[i][0].get<std::string>() + ", " + cases[i][1].get<std::string>();
    std::optional<std::string> got;
    std::string message = parse_error;
    if (parsed) {
      try {
        const Rendered rendered = parsed->render(
            make_input(goldens.json, goldens.json["conversations"][cases[i][0].get<std::string>()], cases[i][1]));
        EXPECT_EQ(rendered.text.size(), rendered.origin.size()) << where;
        got = rendered.text;
      } catch (const Error& error) {
        message = error.what();
      }
    }
    if (results[i].is_null()) {
      EXPECT_FALSE(got) << where << ": Jinja2 raises, this gives: " << got.value_or("").substr(0, 300);
    } else if (!got) {
      ADD_FAILURE() << where << ": " << message;
    } else {
      const std::string& want = goldens.texts[results[i].get<size_t>()];
      EXPECT_TRUE(*got == want) << where << " " << difference(want, *got);
    }
  }
}

/// The source of a template of the goldens.
std::string source_of(const std::string& name) {
  for (const ChatSpec* spec : chat_specs()) {
    if (name == "built-in " + std::string(spec->family)) return std::string(spec->default_template);
  }
  return read_file(std::filesystem::path(AUTOGLM_ORACLE_DIR) / "llama-cpp-models/templates" / name);
}

TEST(ChatTemplateGoldens, UnfinishedMessagesAreAsTransformersCutsThem) {
  const Goldens finished;
  const Goldens goldens("continued.json");
  const Json& cases = goldens.json["cases"];
  size_t compared = 0;
  for (const auto& [name, results] : goldens.json["templates"].items()) {
    std::unique_ptr<ChatTemplate> parsed;
    try {
      parsed = ChatTemplate::parse(source_of(name));
    } catch (const Error&) {
      EXPECT_TRUE(std::all_of(results.begin(), results.end(), [](const Json& one) { return one.is_null(); })) << name;
      continue;
    }
    for (size_t i = 0; i < cases.size(); ++i) {
      const std::string where = name + ", case " + std::to_string(i);
      std::optional<std::string> got;
      std::string message;
      try {
        const Rendered rendered = render_unfinished(*parsed, make_input(finished.json, cases[i][0], cases[i][2]),
                                                    cases[i][1].get<std::string>());
        EXPECT_EQ(rendered.text.size(), rendered.origin.size()) << where;
        got = rendered.text;
      } catch (const Error& error) {
        message = error.what();
      }
      if (results[i].is_null()) {
        EXPECT_FALSE(got) << where << ": transformers refuses, this gives: " << got.value_or("").substr(0, 300);
      } else if (!got) {
        ADD_FAILURE() << where << ": " << message;
      } else {
        const std::string& want = goldens.texts[results[i].get<size_t>()];
        EXPECT_TRUE(*got == want) << where << " " << difference(want, *got);
        ++compared;
      }
    }
  }
  EXPECT_GT(compared, 1000U);
}

TEST(ChatTemplateGoldens, TemplatesOfLlamaCpp) {
  const Goldens goldens;
  size_t count = 0;
  for (const auto& [name, golden] : goldens.json["templates"].items()) {
    if (name.starts_with("built-in ")) continue;
    const std::filesystem::path path = std::filesystem::path(AUTOGLM_ORACLE_DIR) / "llama-cpp-models/templates" / name;
    ASSERT_TRUE(std::filesystem::exists(path)) << path << " is missing: run tools/setup.sh";
    check_template(goldens, name, read_file(path), golden["results"]);
    ++count;
  }
  EXPECT_GE(count, 70U);
}

TEST(ChatTemplateGoldens, BuiltIn) {
  if (const char* dump = std::getenv("AUTOGLM_DUMP_TEMPLATES")) {  // input of the script that makes the goldens
    Json all;
    for (const ChatSpec* spec : chat_specs()) all[std::string(spec->family)] = std::string(spec->default_template);
    std::ofstream(dump) << all.dump();
  }
  const Goldens goldens;
  for (const ChatSpec* spec : chat_specs()) {
    const std::string name = "built-in " + std::string(spec->family);
    ASSERT_TRUE(goldens.json["templates"].contains(name)) << name;
    check_template(goldens, name, std::string(spec->default_template), goldens.json["templates"][name]["results"]);
  }
}

}  // namespace
}  // namespace autoglm
