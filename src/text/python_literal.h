// ChatGLM3's calls: tool_call(name='value', count=3) in Python, between ``` fences or not.
#pragma once

#include <string_view>

#include "text/chat_template.h"

namespace autoglm {

struct PythonCall {
  Json arguments;           // an object; null if it is no such call
  size_t bytes = 0;         // of the text that the call takes
  bool incomplete = false;  // the text ends too early to tell
};

/// Values are strings, numbers, True, False, None (or JSON's), lists, tuples and dictionaries.
PythonCall read_python_call(std::string_view text);

}  // namespace autoglm
