// Gemma 3: two roles, user and model; a system text opens the first question.
#include "text/families/families.h"

namespace autoglm {
namespace {

constexpr std::string_view kGemma = R"jinja({{- bos_token }}
{%- macro words(content) %}
    {%- if content is string %}
        {{- content | trim }}
    {%- elif content %}
        {%- for part in content %}
            {{- part.text | trim if part is mapping and part.type == 'text' else '' }}
        {%- endfor %}
    {%- endif %}
{%- endmacro %}
{%- set first = messages[0] if messages and messages[0].role in ['system', 'developer'] else none %}
{%- for message in (messages[1:] if first else messages) %}
    {%- if (message.role == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('Gemma needs user and assistant to take turns, the user first') }}
    {%- endif %}
    {{- '<start_of_turn>' + ('model' if message.role == 'assistant' else 'user') + '\n' }}
    {%- if loop.first and first %}
        {{- words(first.content) + '\n\n' }}
    {%- endif %}
    {{- words(message.content) + '<end_of_turn>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<start_of_turn>model\n' }}
{%- endif %}
)jinja";

}  // namespace

std::span<const ChatSpec> gemma_chat_specs() {
  static const ChatSpec specs[] = {
      {.family = "gemma",
       .architectures = {"gemma3", "gemma3_text", "gemma2", "gemma"},
       .default_template = kGemma,
       .ends = {"<end_of_turn>", "<eos>"},
       .reasoning_open = "",
       .reasoning_close = "",
       .thinking_variable = "",
       .tool_calls = ToolCallForm::none,
       .marker = ""},
  };
  return specs;
}

}  // namespace autoglm
