// The files of src/server/page/assets, inside the program.
#pragma once

#include <span>
#include <string_view>

namespace autoglm {

struct EmbeddedFile {
  std::string_view name;  // "main.js"
  std::string_view bytes;
  std::string_view sha256;  // hexadecimal
};

std::span<const EmbeddedFile> page_assets();

}  // namespace autoglm
