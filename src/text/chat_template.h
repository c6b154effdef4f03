// Chat templates: our own subset of Jinja, byte for byte what Jinja2 gives as Hugging Face configures it.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "text/tokenizer.h"

namespace autoglm {

/// Object keys keep their order: templates print tools with tojson.
using Json = nlohmann::ordered_json;

/// Limits on one rendering: a template is a program from a stranger. Passing one is Error limit_exceeded.
struct TemplateLimits {
  int64_t steps = 5'000'000;
  int64_t output_bytes = 64 << 20;
  int depth = 64;  // nesting of expressions, blocks, macros and values
};

/// What a template sees.
struct TemplateInput {
  Json messages = Json::array();
  Json tools;  // null: none
  bool add_generation_prompt = true;
  Json variables = Json::object();  // chat_template_kwargs: enable_thinking, ...
  std::string bos_token;
  std::string eos_token;
  std::chrono::system_clock::time_point now = std::chrono::system_clock::now();  // for strftime_now
};

/// The text, and who wrote each byte: what came from `messages`, `tools` or `variables` has origin false, through every
/// filter, slice and concatenation.
struct Rendered {
  std::string text;
  OriginMask origin;
};

/// A parsed template. Immutable; render may be called from several threads at once.
class ChatTemplate {
 public:
  /// Error bad_template with line and what is wrong.
  static std::unique_ptr<ChatTemplate> parse(std::string_view source, const TemplateLimits& limits = {});
  virtual ~ChatTemplate() = default;
  /// Errors: bad_template (raise_exception's text, undefined operation, ...), limit_exceeded.
  virtual Rendered render(const TemplateInput& input) const = 0;
};

}  // namespace autoglm
