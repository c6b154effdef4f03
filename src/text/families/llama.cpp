// Llama 3, Llama 2, and what else calls its architecture "llama" (SmolLM, with ChatML).
#include "text/families/families.h"

namespace autoglm {
namespace {

// Header, blank line, text, end of turn. Calls and results travel as JSON.
constexpr std::string_view kLlama3 = R"jinja({{- bos_token }}
{%- macro words(content) %}
    {%- if content is string %}
        {{- content | trim }}
    {%- elif content %}
        {%- for part in content %}
            {{- part.text if part is mapping else part }}
        {%- endfor %}
    {%- endif %}
{%- endmacro %}
{%- macro header(role) %}{{ '<|start_header_id|>' + role + '<|end_header_id|>\n\n' }}{% endmacro %}
{%- set first = messages[0] if messages and messages[0].role == 'system' else none %}
{%- if first or tools %}
    {{- header('system') }}
    {%- if tools %}
        {{- 'You can call these functions. To call one, answer only with JSON of the form {"name": its name, "parameters": a dictionary of arguments}.\n\n' }}
        {%- for tool in tools %}
            {{- tool | tojson(indent=4) + '\n\n' }}
        {%- endfor %}
    {%- endif %}
    {%- if first %}{{ words(first.content) }}{% endif %}
    {{- '<|eot_id|>' }}
{%- endif %}
{%- for message in (messages[1:] if first else messages) %}
    {%- if message.role == 'tool' or message.role == 'ipython' %}
        {{- header('ipython') }}
        {{- message.content | tojson if message.content is mapping else words(message.content) }}
    {%- elif message.tool_calls %}
        {{- header('assistant') }}
        {%- for call in message.tool_calls %}
            {%- set function = call.function or call %}
            {{- '{"name": ' + function.name | tojson + ', "parameters": ' }}
            {{- function.arguments if function.arguments is string else function.arguments | tojson }}
            {{- '}' }}
        {%- endfor %}
    {%- else %}
        {{- header(message.role) }}
        {{- words(message.content) }}
    {%- endif %}
    {{- '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- header('assistant') }}
{%- endif %}
)jinja";

// [INST] question [/INST] answer; the system text goes into the first question.
constexpr std::string_view kLlama2 = R"jinja({%- set ns = namespace(system='') %}
{%- for message in messages %}
    {%- if message.role == 'system' %}
        {%- set ns.system = '<<SYS>>\n' + message.content | trim + '\n<</SYS>>\n\n' %}
    {%- elif message.role == 'user' %}
        {{- bos_token + '[INST] ' + ns.system + message.content | trim + ' [/INST]' }}
        {%- set ns.system = '' %}
    {%- elif message.role == 'assistant' %}
        {{- ' ' + message.content | trim + ' ' + eos_token }}
    {%- else %}
        {{- raise_exception('Llama 2 knows the roles system, user and assistant only') }}
    {%- endif %}
{%- endfor %}
)jinja";

}  // namespace

std::span<const ChatSpec> llama_chat_specs() {
  static const ChatSpec specs[] = {
      {.family = "llama3",
       .architectures = {"llama"},
       .default_template = kLlama3,
       .ends = {"<|eot_id|>", "<|eom_id|>", "<|end_of_text|>"},
       .reasoning_open = "",
       .reasoning_close = "",
       .thinking_variable = "",
       .tool_calls = ToolCallForm::llama3_json,
       .marker = "<|start_header_id|>"},
      {.family = "llama2",
       .architectures = {"llama", "mistral"},
       .default_template = kLlama2,
       .ends = {"</s>"},
       .reasoning_open = "",
       .reasoning_close = "",
       .thinking_variable = "",
       .tool_calls = ToolCallForm::none,
       .marker = ""},
  };
  return specs;
}

}  // namespace autoglm
