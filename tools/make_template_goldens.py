#!/usr/bin/env python3
"""Renders chat templates over many conversations with Jinja2, as Hugging Face configures it.

Writes tests/data/templates/goldens.json, and continued.json: conversations whose last message is not finished. Needs transformers 5 with jinja2, and the `models` folder of llama.cpp's source in
build/oracle/llama-cpp-models.

Usage: python3 tools/make_template_goldens.py [BUILT_IN_TEMPLATES.json]

The optional argument is what `test_text --gtest_filter=ChatTemplateGoldens.DumpBuiltIn` prints with
AUTOGLM_DUMP_TEMPLATES=FILE in the environment: our own templates, by family.

Texts are stored once and referred to by number; a rendering that raises is stored as null. Equal middles are common (one
template, many conversations), so each text is kept as a shared prefix with the text before it.
"""
import hashlib
import json
import os
import sys
from datetime import datetime
from pathlib import Path

import transformers.utils.chat_template_utils as hf

ROOT = Path(__file__).resolve().parent.parent
TEMPLATES = ROOT / "build/oracle/llama-cpp-models/templates"
OUT = ROOT / "tests/data/templates"
NOW = datetime(2026, 2, 3, 14, 5, 6, 789)


class FrozenDate(datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2026, 2, 3, 14, 5, 6, 789)


TOOLS = [
    {"type": "function", "function": {
        "name": "get_weather", "description": "Weather of a city. It's \"live\" <now> & here",
        "parameters": {"type": "object", "properties": {
            "city": {"type": "string", "description": "name, 例如 北京"},
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
            "days": {"type": "integer", "minimum": 1}},
            "required": ["city"]}}},
    {"type": "function", "function": {
        "name": "book", "description": "Books.", "parameters": {"type": "object", "properties": {
            "items": {"type": "array", "items": {"type": "object", "properties": {"id": {"type": ["string", "null"]}}}},
            "ratio": {"type": "number"}, "sure": {"type": "boolean"}}, "required": []},
        "strict": True, "return": {"type": "object"}}},
]


def call(arguments, id="call_00001", name="get_weather"):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


USER = {"role": "user", "content": "What is 1 + 1?"}
SYSTEM = {"role": "system", "content": "  You are terse.\n"}
ASSISTANT = {"role": "assistant", "content": "2"}
RESULT = {"role": "tool", "tool_call_id": "call_00001", "name": "get_weather", "content": "{\"temp\": 21.5}"}
DICT_CALL = {"role": "assistant", "content": "", "tool_calls": [call({"city": "北京", "days": 3, "sure": True, "x": None, "f": 1.50})]}
STRING_CALL = {"role": "assistant", "content": None, "tool_calls": [call("{\"city\": \"Rome\"}")]}
TWO_CALLS = {"role": "assistant", "content": "Let me see.", "tool_calls": [
    call({"city": "Rome"}), call({"items": [{"id": "a<b"}, {"id": None}], "ratio": 1e-7}, "call_00002", "book")]}

CONVERSATIONS = {
    "simple": [USER],
    "system": [SYSTEM, USER],
    "turns": [SYSTEM, USER, ASSISTANT, {"role": "user", "content": "and 2 + 2?"}],
    "answered": [USER, ASSISTANT],
    "unicode": [{"role": "user", "content": " 你好 👋🏽 é\u0301 \u200b<|user|><|im_start|>\ttab\r\nline\n"}],
    "empty": [{"role": "user", "content": ""}],
    "none": [USER, {"role": "assistant", "content": None}, USER],
    "missing": [{"role": "user"}],
    "parts": [{"role": "system", "content": [{"type": "text", "text": "Be kind."}]},
              {"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": " two"}]}],
    "image": [{"role": "user", "content": [{"type": "image", "url": "a.png"}, {"type": "text", "text": "what?"}]}],
    "reasoning": [USER, {"role": "assistant", "reasoning_content": "\nhmm, one and one\n", "content": "2"}, USER],
    "reasoning_last": [USER, {"role": "assistant", "reasoning_content": "still thinking", "content": "2"}],
    "thinking_alias": [USER, {"role": "assistant", "thinking": "alias", "content": "2"}, USER],
    "think_tags": [USER, {"role": "assistant", "content": "<think>\nsecret\n</think>\n\n2"}, USER],
    "dict_call": [USER, DICT_CALL, RESULT],
    "string_call": [SYSTEM, USER, STRING_CALL, RESULT, {"role": "assistant", "content": "21.5 degrees"}, USER],
    "two_calls": [USER, TWO_CALLS, RESULT, {"role": "tool", "tool_call_id": "call_00002", "name": "book", "content": "ok"}],
    "reasoned_call": [USER, {**DICT_CALL, "reasoning_content": "I need the weather"}, RESULT],
    "no_arguments": [USER, {"role": "assistant", "content": "", "tool_calls": [call({})]}, RESULT],
    "developer": [{"role": "developer", "content": "Dev text"}, USER],
    "two_users": [USER, USER],
    "assistant_first": [ASSISTANT, USER],
    "odd_role": [{"role": "narrator", "content": "once"}, USER],
    "late_system": [USER, ASSISTANT, SYSTEM, USER],
    "result_parts": [USER, DICT_CALL, {"role": "tool", "tool_call_id": "call_00001", "content": [{"type": "text", "text": "part"}]}],
    "no_messages": [],
}

SETTINGS = {
    "plain": {"add_generation_prompt": True},
    "closed": {"add_generation_prompt": False},
    "tools": {"add_generation_prompt": True, "tools": TOOLS},
    "tools_closed": {"add_generation_prompt": False, "tools": TOOLS},
    "think": {"add_generation_prompt": True, "variables": {"enable_thinking": True, "thinking": True}},
    "quiet": {"add_generation_prompt": True, "variables": {"enable_thinking": False, "thinking": False, "reasoning_effort": "low"}},
    "documents": {"add_generation_prompt": True, "variables": {
        "documents": [{"title": "T1", "text": "first"}, {"title": "标题", "text": "second\nline"}]}},
}

# Every conversation with these settings, except that the rarer settings go with a few conversations only.
FEW = {"simple", "turns", "dict_call", "reasoning"}


def cases():
    for conversation in CONVERSATIONS:
        for setting in SETTINGS:
            calls = "call" in conversation or conversation == "result_parts"
            if setting in ("plain",) or conversation in FEW or (setting == "closed" and conversation in ("reasoning_last", "answered", "parts")) \
                    or (setting == "tools" and calls):
                yield conversation, setting


def render(source, conversation, setting):
    settings = SETTINGS[setting]
    kwargs = dict(settings.get("variables", {}))
    documents = kwargs.pop("documents", None)
    messages = json.loads(json.dumps(CONVERSATIONS[conversation]))
    tools = json.loads(json.dumps(settings.get("tools")))
    try:
        out, _ = hf.render_jinja_template(
            conversations=[messages], tools=tools, documents=documents, chat_template=source,
            add_generation_prompt=settings["add_generation_prompt"], bos_token="<s>", eos_token="</s>", **kwargs)
        return out[0]
    except Exception:
        return None


def assistant(content, **more):
    return [SYSTEM, USER, {"role": "assistant", "content": content, **more}]


# Conversations, the field of the last message that is gone on with, and the setting.
UNFINISHED = [(messages, field, "closed") for messages, field in [
    ([USER, ASSISTANT], "content"),
    (assistant("The answer is"), "content"),
    (assistant("The answer is "), "content"),
    (assistant("  The answer is\n\n"), "content"),
    (assistant("Zeile 一\u3000\u00a0"), "content"),
    (assistant(""), "content"),
    (assistant(" \n"), "content"),
    (assistant(None), "content"),
    (assistant("The answer is", reasoning_content="one and one"), "content"),
    (assistant("", reasoning_content="one and one\n"), "content"),
    (assistant("", reasoning_content="one and "), "reasoning_content"),
    (assistant("", thinking="one and"), "thinking"),
    (assistant("<think>\nhm"), "content"),
    (assistant("<think>\nhm\n</think>\n\nThe answer"), "content"),
    (assistant([{"type": "text", "text": "one "}, {"type": "text", "text": "two "}]), "content"),
    (assistant([{"type": "image", "url": "a.png"}]), "content"),
    ([{"role": "user", "content": "CONTINUE_FINAL_MESSAGE_TAG "}, {"role": "assistant", "content": "No: CONTINUE_FINAL"}], "content"),
    (assistant("{\"a\": \"<|im_end|></s>"), "content"),
    ([USER, DICT_CALL, RESULT, {"role": "assistant", "content": "It is "}], "content"),
    ([USER], "content"),
]] + [(assistant("It is "), "content", "tools_closed"), ([USER, DICT_CALL, RESULT, ASSISTANT], "content", "tools_closed")]


def render_unfinished(source, messages, field, setting):
    settings = SETTINGS[setting]
    try:
        out, _ = hf.render_jinja_template(
            conversations=[json.loads(json.dumps(messages))], tools=json.loads(json.dumps(settings.get("tools"))), chat_template=source,
            add_generation_prompt=False, continue_final_message=field, bos_token="<s>", eos_token="</s>")
        return out[0]
    except Exception:
        return None


def write_unfinished(sources):
    texts, templates = {}, {}
    for name, source in sources:
        row = []
        for case in UNFINISHED:
            text = render_unfinished(source, *case)
            row.append(None if text is None else texts.setdefault(text, len(texts)))
        templates[name] = row
    golden = {"cases": UNFINISHED, "texts": shared(texts), "templates": templates}
    (OUT / "continued.json").write_text(json.dumps(golden, ensure_ascii=False, indent=0, separators=(",", ":")))
    rows = [one for row in templates.values() for one in row]
    print(f"unfinished: {len(rows)} renderings, {rows.count(None)} raise, {len(texts)} texts")


def shared(texts):
    result, previous = [], ""
    for text in texts:
        head = len(os.path.commonprefix([previous, text]))
        rest = text[head:]
        tail = len(os.path.commonprefix([previous[head:][::-1], rest[::-1]]))
        result.append([head, rest[:len(rest) - tail], tail])
        previous = text
    return result


def main():
    hf.datetime = FrozenDate
    sources = {p.name: p.read_text() for p in sorted(TEMPLATES.glob("*.jinja"))}
    built_in = json.loads(Path(sys.argv[1]).read_text()) if len(sys.argv) > 1 else {}
    golden = {"now": NOW.strftime("%Y-%m-%d %H:%M:%S"), "bos_token": "<s>", "eos_token": "</s>",
              "conversations": CONVERSATIONS, "settings": SETTINGS, "cases": [list(c) for c in cases()],
              "texts": [], "templates": {}}
    index, total, raised = {}, 0, 0
    everything = list(sources.items()) + [("built-in " + k, v) for k, v in built_in.items()]
    for name, source in everything:
        row = []
        for conversation, setting in cases():
            text = render(source, conversation, setting)
            total += 1
            if text is None:
                raised += 1
                row.append(None)
                continue
            row.append(index.setdefault(text, len(index)))
        golden["templates"][name] = {"sha256": hashlib.sha256(source.encode()).hexdigest(), "results": row}
    golden["texts"] = shared(index)
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "goldens.json").write_text(json.dumps(golden, ensure_ascii=False, indent=0, separators=(",", ":")))
    print(f"{len(golden['templates'])} templates, {total} renderings, {raised} raise, {len(index)} texts")
    write_unfinished(everything)


main()
