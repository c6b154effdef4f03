// Hundreds of small templates against Jinja2. Made by tools/make_jinja_goldens.py.
#include <gtest/gtest.h>

#include <ctime>
#include <fstream>

#include "base/error.h"
#include "text/chat_template.h"

namespace autoglm {
namespace {

TEST(JinjaSnippets, SameAsJinja2) {
  std::ifstream file(AUTOGLM_TEST_DATA "/jinja/snippets.json");
  const Json golden = Json::parse(file);
  TemplateInput input;
  input.messages = Json::parse(R"([{"role": "user", "content": "hi"}])");
  input.variables = golden["variables"];
  input.bos_token = "<s>";
  input.eos_token = "</s>";
  std::tm now{};
  strptime(golden["now"].get<std::string>().c_str(), "%Y-%m-%d %H:%M:%S", &now);
  now.tm_isdst = -1;
  input.now = std::chrono::system_clock::from_time_t(std::mktime(&now));
  ASSERT_GT(golden["snippets"].size(), 500U);
  for (const Json& item : golden["snippets"]) {
    const auto source = item[0].get<std::string>();
    std::optional<std::string> got;
    std::string message;
    try {
      const Rendered rendered = ChatTemplate::parse(source)->render(input);
      EXPECT_EQ(rendered.text.size(), rendered.origin.size()) << source;
      got = rendered.text;
    } catch (const Error& error) {
      message = error.what();
      EXPECT_EQ(error.code(), Code::bad_template) << source << ": " << message;
    }
    if (item[1].is_null()) {
      EXPECT_FALSE(got) << source << "\n  must be an error, gives: " << got.value_or("");
    } else {
      EXPECT_TRUE(got && *got == item[1].get<std::string>())
          << source << "\n  want: " << item[1].dump() << "\n  got:  " << (got ? Json(*got).dump() : message);
    }
  }
}

}  // namespace
}  // namespace autoglm
