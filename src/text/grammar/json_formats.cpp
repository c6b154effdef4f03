#include "text/grammar/json_formats.h"

#include <array>
#include <utility>

namespace autoglm {
namespace {

// Leap years are those divisible by 4, but of those divisible by 100 only each fourth.
#define AUTOGLM_YEAR R"((?:000[1-9]|00[1-9]\d|0[1-9]\d\d|[1-9]\d{3}))"
#define AUTOGLM_LEAP R"((?:\d\d(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00))"
#define AUTOGLM_DATE                                                                                         \
  "(?:" AUTOGLM_YEAR R"(-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)|)" \
  R"(02-(?:0[1-9]|1\d|2[0-8]))|)" AUTOGLM_LEAP "-02-29)"
#define AUTOGLM_HOURS R"((?:[01]\d|2[0-3]):[0-5]\d)"
#define AUTOGLM_TIME AUTOGLM_HOURS R"(:[0-5]\d(?:\.\d{1,6})?(?:Z|[+-])" AUTOGLM_HOURS ")"
#define AUTOGLM_BYTE R"((?:\d|[1-9]\d|1\d\d|2[0-4]\d|25[0-5]))"
#define AUTOGLM_LABEL R"([a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?)"
#define AUTOGLM_HOST AUTOGLM_LABEL R"((?:\.)" AUTOGLM_LABEL "){0,3}"
#define AUTOGLM_HEX "[0-9a-f]"

constexpr std::array<std::pair<std::string_view, std::string_view>, 11> kFormats = {{
    {"date", AUTOGLM_DATE},
    {"time", AUTOGLM_TIME},
    {"date-time", AUTOGLM_DATE "T" AUTOGLM_TIME},
    {"duration",
     R"(P(?:\d{1,6}W|(?:\d{1,4}Y(?:\d{1,4}M(?:\d{1,4}D)?)?|\d{1,4}M(?:\d{1,4}D)?|\d{1,4}D)(?:T\d{1,4}H(?:\d{1,4}M)?)?|)"
     R"(T(?:\d{1,4}H(?:\d{1,4}M(?:\d{1,4}S)?)?|\d{1,4}M(?:\d{1,4}S)?|\d{1,4}S)))"},
    {"uuid", AUTOGLM_HEX "{8}-" AUTOGLM_HEX "{4}-" AUTOGLM_HEX "{4}-" AUTOGLM_HEX "{4}-" AUTOGLM_HEX "{12}"},
    {"email", R"([A-Za-z0-9_%+-]{1,32}(?:\.[A-Za-z0-9_%+-]{1,32}){0,3}@)" AUTOGLM_LABEL R"((?:\.)" AUTOGLM_LABEL
              R"(){0,2}\.[a-z]{2,12})"},
    {"hostname", AUTOGLM_HOST},
    {"ipv4", AUTOGLM_BYTE R"((?:\.)" AUTOGLM_BYTE "){3}"},
    {"ipv6", AUTOGLM_HEX "{1,4}(?::" AUTOGLM_HEX "{1,4}){7}|::(?:" AUTOGLM_HEX "{1,4}(?::" AUTOGLM_HEX
                         "{1,4}){0,5})?|" AUTOGLM_HEX "{1,4}::(?:" AUTOGLM_HEX "{1,4}(?::" AUTOGLM_HEX "{1,4}){0,4})?"},
    {"uri",
     "(?:https?|ftp)://" AUTOGLM_HOST
     R"((?::[1-9]\d{1,3})?(?:/[A-Za-z0-9_.~!$&'()*+,;=:@-]*)*(?:\?[A-Za-z0-9_.~!$&'()*+,;=:@/?-]*)?(?:#[A-Za-z0-9_.~!$&'()*+,;=:@/?-]*)?)"},
    {"json-pointer", R"((?:/(?:[^/~]|~[01])*)*)"},
}};

}  // namespace

std::string_view format_pattern(std::string_view format) {
  for (const auto& [name, pattern] : kFormats) {
    if (name == format) return pattern;
  }
  return {};
}

std::vector<std::string_view> known_formats() {
  std::vector<std::string_view> names;
  for (const auto& [name, pattern] : kFormats) names.push_back(name);
  return names;
}

}  // namespace autoglm
