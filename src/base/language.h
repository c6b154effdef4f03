// The two languages that people read. Codes, keys and JSON stay English.
#pragma once

#include <cstdint>
#include <string_view>

namespace autoglm {

enum class Language : uint8_t { en, zh };

/// One text in both languages, as tables hold it.
struct Text {
  std::string_view en;
  std::string_view zh;
  std::string_view in(Language language) const { return language == Language::zh ? zh : en; }
};

}  // namespace autoglm
