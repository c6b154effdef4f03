#!/usr/bin/env python3
"""tools/selftest.py's comparisons, with stand-ins for transformers' tokenizer."""

import importlib.util
import pathlib
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "tools" / "selftest.py"
SPEC = importlib.util.spec_from_file_location("selftest", SCRIPT)
selftest = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(selftest)


class Tokenizer:
    chat_template = "some template"

    def encode(self, text, add_special_tokens):
        assert not add_special_tokens
        return [ord(c) for c in text]

    def apply_chat_template(self, messages, tokenize, add_generation_prompt, **variables):
        assert not tokenize and add_generation_prompt
        if messages[0]["role"] == "system":
            raise ValueError("no system message")
        return "".join(m["content"] for m in messages) + str(sorted(variables))


def chat(role, text, **variables):
    return {"name": role, "messages": [{"role": role, "content": "Hi"}], "variables": variables, "text": text}


class Ids(unittest.TestCase):
    def test_equal(self):
        check = selftest.check_ids(Tokenizer(), [{"text": "ab", "ids": [97, 98]}])
        self.assertTrue(check["ok"])
        self.assertEqual(check["detail"], "1 of 1 texts equal")

    def test_a_difference_is_shown(self):
        check = selftest.check_ids(Tokenizer(), [{"text": "ab", "ids": [97, 98]}, {"text": "c", "ids": [1]}])
        self.assertFalse(check["ok"])
        self.assertIn("1 of 2 texts equal: 'c': ours [1], theirs [99]", check["detail"])


class Templates(unittest.TestCase):
    def test_equal_with_variables(self):
        self.assertTrue(selftest.check_templates(Tokenizer(), [chat("user", "Hi['think']", think=True)])["ok"])

    def test_a_byte_more_is_a_difference(self):
        check = selftest.check_templates(Tokenizer(), [chat("user", "Hi[]\n")])
        self.assertFalse(check["ok"])
        self.assertIn("0 of 1 conversations equal: user", check["detail"])

    def test_both_must_refuse(self):
        self.assertTrue(selftest.check_templates(Tokenizer(), [chat("system", None)])["ok"])
        check = selftest.check_templates(Tokenizer(), [chat("system", "Hi[]")])
        self.assertFalse(check["ok"])
        self.assertIn("theirs refuses: no system message", check["detail"])

    def test_a_model_without_a_template(self):
        tokenizer = Tokenizer()
        tokenizer.chat_template = None
        self.assertTrue(selftest.check_templates(tokenizer, [chat("user", "anything")])["ok"])


class Paths(unittest.TestCase):
    def test_a_gguf_file_is_named_in_its_folder(self):
        self.assertEqual(selftest.load_arguments("/models/a.gguf"), ("/models", {"gguf_file": "a.gguf"}))


if __name__ == "__main__":
    unittest.main()
