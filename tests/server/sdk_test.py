"""The official client packages, unmodified, against the real server and a real model: whole answers and streams.

    python3 tests/server/sdk_test.py AUTOGLM MODEL.gguf

Needs the packages openai, anthropic and ollama (tools/check.sh puts it into build/sdk-venv). It is run by `make check`, not by `make test`: it
fetches packages from PyPI.
"""

import json
import re
import subprocess
import sys
import unittest

import anthropic
import ollama
import openai

AUTOGLM, MODEL = sys.argv[1:3]
KEY = "key-of-the-test"
QUESTION = [{"role": "user", "content": "What is 2+2? Answer with the number."}]


class Server:
    def __init__(self):
        keys = "build/sdk-test-keys"
        with open(keys, "w") as file:
            file.write(KEY + "\n")
        command = [AUTOGLM, "serve", MODEL, "--port", "0", "--alias", "tiny", "--api-key-file", keys, "--ctx", "1024"]
        command += ["--no-kv-persist", "--quiet"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        self.address = re.fullmatch(r"listening on (http://\S+)\n", line)[1]

    def stop(self):
        self.process.terminate()
        return self.process.wait(timeout=30)


class OpenAi(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.client = openai.OpenAI(base_url=server.address + "/v1", api_key=KEY, max_retries=0)

    def test_chat_whole_and_streamed_are_the_same(self):
        ask = dict(model="tiny", messages=QUESTION, temperature=0, max_tokens=40, seed=1)
        whole = self.client.chat.completions.create(**ask)
        self.assertIn("4", whole.choices[0].message.content)
        self.assertIn(whole.choices[0].finish_reason, ("stop", "length"))
        text, usage = "", None
        for chunk in self.client.chat.completions.create(stream=True, stream_options={"include_usage": True}, **ask):
            usage = chunk.usage or usage
            if chunk.choices:
                text += chunk.choices[0].delta.content or ""
        self.assertEqual(text, whole.choices[0].message.content)
        self.assertEqual(usage.completion_tokens, whole.usage.completion_tokens)
        self.assertGreater(usage.prompt_tokens_details.cached_tokens, 0)

    def test_scores_choices_and_stops(self):
        answer = self.client.chat.completions.create(
            model="tiny", messages=QUESTION, n=2, max_tokens=8, logprobs=True, top_logprobs=3, temperature=1.0, seed=3
        )
        self.assertEqual(len(answer.choices), 2)
        for choice in answer.choices:
            for token in choice.logprobs.content:
                self.assertLessEqual(token.logprob, 0)
                self.assertEqual(len(token.top_logprobs), 3)
                self.assertEqual(bytes(token.bytes).decode(errors="replace"), token.token)
        stopped = self.client.completions.create(model="tiny", prompt="one two three four", stop=[" "], temperature=0)
        self.assertNotIn(" ", stopped.choices[0].text)

    def test_completions_echo_and_stream(self):
        ask = dict(model="default", prompt="The capital of France is", max_tokens=6, temperature=0, echo=True, logprobs=1)
        whole = self.client.completions.create(**ask)
        self.assertTrue(whole.choices[0].text.startswith("The capital of France is"))
        self.assertIsNone(whole.choices[0].logprobs.token_logprobs[0])
        text = "".join(chunk.choices[0].text for chunk in self.client.completions.create(stream=True, **ask))
        self.assertEqual(text, whole.choices[0].text)

    def test_answers_of_a_schema_validate(self):
        schema = {
            "type": "object",
            "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer", "maximum": 150}},
            "required": ["name", "age"],
            "additionalProperties": False,
        }
        form = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema, "strict": True}}
        for seed in range(3):
            answer = self.client.chat.completions.create(
                model="tiny", messages=QUESTION, response_format=form, seed=seed, temperature=1.0, max_tokens=300
            )
            if answer.choices[0].finish_reason == "stop":
                person = json.loads(answer.choices[0].message.content)
                self.assertEqual(set(person), {"name", "age"})
                self.assertLessEqual(person["age"], 150)
        form["json_schema"]["schema"] = {"type": "array", "uniqueItems": True}
        with self.assertRaises(openai.BadRequestError) as bad:
            self.client.chat.completions.create(model="tiny", messages=QUESTION, response_format=form)
        self.assertEqual(bad.exception.param, "response_format")

    def test_tools_that_must_be_called_are(self):
        parameters = {"type": "object", "properties": {"city": {"enum": ["Paris", "Rome"]}}, "required": ["city"]}
        tools = [{"type": "function", "function": {"name": "weather", "parameters": parameters}}]
        ask = dict(model="tiny", messages=QUESTION, tools=tools, max_tokens=300, temperature=1.0, seed=1)
        answer = self.client.chat.completions.create(
            tool_choice={"type": "function", "function": {"name": "weather"}}, parallel_tool_calls=False, **ask
        )
        if answer.choices[0].finish_reason != "length":
            self.assertEqual(answer.choices[0].finish_reason, "tool_calls")
            call = answer.choices[0].message.tool_calls[0].function
            self.assertEqual(call.name, "weather")
            self.assertIn(json.loads(call.arguments)["city"], ("Paris", "Rome"))
        with self.assertRaises(openai.BadRequestError):
            self.client.chat.completions.create(tool_choice={"type": "function", "function": {"name": "other"}}, **ask)

    def test_models_and_errors(self):
        self.assertIn("tiny", [model.id for model in self.client.models.list()])
        with self.assertRaises(openai.NotFoundError) as missing:
            self.client.chat.completions.create(model="gpt-4", messages=QUESTION)
        self.assertIn("tiny", str(missing.exception))
        with self.assertRaises(openai.BadRequestError) as bad:
            self.client.chat.completions.create(model="tiny", messages=QUESTION, temperature=-1)
        self.assertEqual(bad.exception.param, "temperature")
        with self.assertRaises(openai.BadRequestError) as longer:
            self.client.completions.create(model="tiny", prompt="word " * 2000)
        self.assertEqual(longer.exception.code, "context_exceeded")
        stranger = openai.OpenAI(base_url=server.address + "/v1", api_key="another-key-here", max_retries=0)
        with self.assertRaises(openai.AuthenticationError):
            stranger.models.list()


class Anthropic(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.client = anthropic.Anthropic(base_url=server.address, api_key=KEY, max_retries=0)

    def test_messages_whole_and_streamed_are_the_same(self):
        ask = dict(model="tiny", messages=QUESTION, max_tokens=40, system="Be brief.")
        # The argument is gone from newer packages; the field is the API's still.
        greedy = {"extra_body": {"temperature": 0}}
        whole = self.client.messages.create(**ask, **greedy)
        self.assertEqual(whole.content[0].type, "text")
        self.assertIn(whole.stop_reason, ("end_turn", "max_tokens"))
        with self.client.messages.stream(**ask, **greedy) as stream:
            text = "".join(stream.text_stream)
            final = stream.get_final_message()
        self.assertEqual(text, whole.content[0].text)
        self.assertEqual(final.usage.output_tokens, whole.usage.output_tokens)
        counted = self.client.messages.count_tokens(model="tiny", messages=QUESTION, system="Be brief.")
        self.assertEqual(counted.input_tokens, whole.usage.input_tokens + whole.usage.cache_read_input_tokens)

    def test_errors(self):
        with self.assertRaises(anthropic.NotFoundError):
            self.client.messages.create(model="other", messages=QUESTION, max_tokens=1)
        stranger = anthropic.Anthropic(base_url=server.address, api_key="another-key-here", max_retries=0)
        with self.assertRaises(anthropic.AuthenticationError):
            stranger.messages.create(model="tiny", messages=QUESTION, max_tokens=1)


class Ollama(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.client = ollama.Client(host=server.address, headers={"Authorization": "Bearer " + KEY})

    def test_chat_and_generate(self):
        options = {"temperature": 0, "num_predict": 30}
        whole = self.client.chat(model="tiny", messages=QUESTION, options=options)
        parts = list(self.client.chat(model="tiny", messages=QUESTION, options=options, stream=True))
        self.assertEqual("".join(part.message.content for part in parts), whole.message.content)
        self.assertTrue(parts[-1].done)
        self.assertEqual(parts[-1].eval_count, whole.eval_count)
        said = self.client.generate(model="tiny", prompt=QUESTION[0]["content"], options=options)
        self.assertEqual(said.response, whole.message.content)

    def test_names_and_errors(self):
        self.assertIn("tiny", [model.model for model in self.client.list().models])
        self.assertIn("completion", self.client.show("tiny").capabilities)
        with self.assertRaises(ollama.ResponseError) as missing:
            self.client.chat(model="other", messages=QUESTION)
        self.assertEqual(missing.exception.status_code, 404)


if __name__ == "__main__":
    server = Server()
    result = unittest.main(argv=sys.argv[:1], exit=False).result
    code = server.stop()
    sys.exit(0 if result.wasSuccessful() and code == 0 else 1)
