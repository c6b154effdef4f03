// The GLM family. Every member ends a turn where the next one would begin: <|user|>, <|observation|>. A file's metadata
// often names only one of them, so they are always in the end set (see `ends`).
#include <string>

#include "text/families/families.h"

namespace autoglm {
namespace {

// What a message says, however it is given. Every template of the family begins with this.
constexpr std::string_view kWords = R"jinja({%- macro words(content) %}
    {%- if content is string %}
        {{- content }}
    {%- elif content is iterable and content is not mapping %}
        {%- for part in content %}
            {{- part if part is string else part.text if part.type == 'text' else '' }}
        {%- endfor %}
    {%- elif content is not none %}
        {{- content }}
    {%- endif %}
{%- endmacro %}
)jinja";

// ChatGLM3: a space before every text; calls are Python.
constexpr std::string_view kChatGlm3 = R"jinja({{- '[gMASK]sop' }}
{%- if tools %}
    {{- '<|system|>\n Answer the following questions as best as you can. You have access to the following tools:\n' }}
    {{- tools | tojson(indent=4) }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'tool' or message.role == 'observation' %}
        {{- '<|observation|>\n ' + words(message.content) }}
    {%- elif message.tool_calls %}
        {%- for call in message.tool_calls %}
            {%- set function = call.function or call %}
            {{- '<|assistant|>' + function.name + '\n ```python\ntool_call(' }}
            {%- if function.arguments is mapping %}
                {%- for name, value in function.arguments.items() %}
                    {{- name + '=' + value | tojson + (', ' if not loop.last else '') }}
                {%- endfor %}
            {%- else %}
                {{- function.arguments }}
            {%- endif %}
            {{- ')\n```' }}
        {%- endfor %}
    {%- else %}
        {{- '<|' + message.role + '|>\n ' + words(message.content) }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}
)jinja";

// GLM-4, GLM-4-0414, GLM-Edge: tools are listed in a system turn, a call is its name and a line of JSON.
constexpr std::string_view kGlm4 = R"jinja({{- '[gMASK]<sop>' }}
{%- if tools %}
    {{- '<|system|>\n# 可用工具' }}
    {%- for tool in tools %}
        {%- set function = tool.function or tool %}
        {{- '\n\n## ' + function.name + '\n\n' + function | tojson(indent=4) }}
        {{- '\n在调用上述函数时，请使用 Json 格式表示调用的参数。' }}
    {%- endfor %}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'tool' or message.role == 'observation' %}
        {{- '<|observation|>\n' + words(message.content) }}
    {%- elif message.role == 'assistant' %}
        {%- set content = words(message.content) %}
        {%- if '</think>' in content %}{% set content = content.split('</think>')[-1].lstrip('\n') %}{% endif %}
        {%- if content or not message.tool_calls %}{{ '<|assistant|>\n' + content }}{% endif %}
        {%- for call in message.tool_calls or [] %}
            {%- set function = call.function or call %}
            {{- '<|assistant|>' + function.name + '\n' }}
            {{- function.arguments if function.arguments is string else function.arguments | tojson }}
        {%- endfor %}
    {%- else %}
        {{- '<|' + message.role + '|>\n' + words(message.content) }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}
)jinja";

// GLM-4.5, 4.6, 4.7 and, with nl empty, 4.7-Flash and 5: arguments between tags, thoughts between <think> marks, shown
// again only behind the last question.
constexpr std::string_view kXml = R"jinja({{- '[gMASK]<sop>' }}
{%- if tools %}
    {{- '<|system|>\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided with function signatures within <tools></tools> XML tags:\n<tools>\n' }}
    {%- for tool in tools %}{{ tool | tojson + '\n' }}{% endfor %}
    {{- '</tools>\n\nFor each function call, output the function name and arguments within the following XML format:\n<tool_call>{function-name}' + nl }}
    {{- '<arg_key>{arg-key-1}</arg_key>' + nl + '<arg_value>{arg-value-1}</arg_value>' + nl }}
    {{- '<arg_key>{arg-key-2}</arg_key>' + nl + '<arg_value>{arg-value-2}</arg_value>' + nl + '...' + nl + '</tool_call>' }}
{%- endif %}
{%- set ns = namespace(question=-1) %}
{%- for message in messages %}
    {%- if message.role == 'user' %}{% set ns.question = loop.index0 %}{% endif %}
{%- endfor %}
{%- set quiet = enable_thinking is defined and not enable_thinking %}
{%- for message in messages %}
    {%- if message.role == 'assistant' %}
        {%- set content = words(message.content) %}
        {%- set thought = message.reasoning_content if message.reasoning_content is string else '' %}
        {%- if not thought and '</think>' in content %}
            {%- set thought = content.split('</think>')[0].split('<think>')[-1].strip('\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\n') %}
        {%- endif %}
        {%- set shown = thought if loop.index0 > ns.question else '' %}
        {{- '<|assistant|>' + nl }}
        {{- '</think>' if not nl and not shown else '<think>' + shown.strip() + '</think>' }}
        {%- if content.strip() %}{{ nl + content.strip() }}{% endif %}
        {%- for call in message.tool_calls or [] %}
            {%- set function = call.function or call %}
            {%- if function.arguments and function.arguments is not mapping %}
                {{- raise_exception('the arguments of a tool call must be an object') }}
            {%- endif %}
            {{- nl + '<tool_call>' + function.name + nl }}
            {%- for name, value in (function.arguments or {}).items() %}
                {{- '<arg_key>' + name + '</arg_key>' + nl + '<arg_value>' }}
                {{- value if value is string else value | tojson }}
                {{- '</arg_value>' + nl }}
            {%- endfor %}
            {{- '</tool_call>' }}
        {%- endfor %}
    {%- elif message.role == 'tool' or message.role == 'observation' %}
        {%- if loop.first or messages[loop.index0 - 1].role != message.role %}{{ '<|observation|>' }}{% endif %}
        {{- nl + '<tool_response>' + nl + words(message.content) + nl + '</tool_response>' }}
    {%- else %}
        {%- set content = words(message.content) %}
        {{- '<|' + message.role + '|>' + nl + content }}
        {%- if nl and quiet and message.role == 'user' and not content.endswith('/nothink') %}{{ '/nothink' }}{% endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {%- if nl %}
        {{- '<|assistant|>' + ('\n<think></think>' if quiet else '') }}
    {%- else %}
        {{- '<|assistant|>' + ('</think>' if quiet else '<think>') }}
    {%- endif %}
{%- endif %}
)jinja";

std::string with_words(std::string_view rest, std::string_view before = {}) {
  return std::string(kWords) + std::string(before) + std::string(rest);
}

ChatSpec glm(std::string_view family, std::vector<std::string_view> architectures, std::string_view text,
             ToolCallForm calls, bool thinks, std::string_view marker) {
  return {.family = family,
          .architectures = std::move(architectures),
          .default_template = text,
          .ends = {"<|endoftext|>", "<|user|>", "<|observation|>"},
          .reasoning_open = thinks ? "<think>" : "",
          .reasoning_close = thinks ? "</think>" : "",
          .thinking_variable = thinks ? "enable_thinking" : "",
          .tool_calls = calls,
          .marker = marker};
}

}  // namespace

std::span<const ChatSpec> glm_chat_specs() {
  static const std::string glm4 = with_words(kGlm4);
  static const std::string chatglm3 = with_words(kChatGlm3);
  static const std::string glm45 = with_words(kXml, "{%- set nl = '\\n' %}");
  static const std::string glm47 = with_words(kXml, "{%- set nl = '' %}");
  static const ChatSpec specs[] = {
      glm("glm4", {"chatglm", "glm", "glm4"}, glm4, ToolCallForm::glm_line_json, false, "<sop>"),
      glm("chatglm3", {"chatglm"}, chatglm3, ToolCallForm::chatglm3_python, false, ""),
      glm("glm4.5", {"glm4moe", "glm4_moe"}, glm45, ToolCallForm::glm_xml, true, ""),
      glm("glm4.7", {"deepseek2", "glm-dsa", "glm4_moe_lite", "glm_moe_dsa"}, glm47, ToolCallForm::glm_xml, true,
          "<sop>"),
  };
  return specs;
}

}  // namespace autoglm
