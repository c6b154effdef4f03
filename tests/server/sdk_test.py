"""The official client packages, unmodified, against the real server and a real model: whole answers and streams.

    python3 tests/server/sdk_test.py AUTOGLM MODEL.gguf

Needs the packages openai, anthropic and ollama (tools/check.sh puts it into build/sdk-venv). It is run by `make check`, not by `make test`: it
fetches packages from PyPI.
"""

import json
import pathlib
import re
import struct
import subprocess
import sys
import unittest

import anthropic
import ollama
import openai
import pydantic

AUTOGLM, MODEL = sys.argv[1:3]
KEY = "key-of-the-test"
QUESTION = [{"role": "user", "content": "What is 2+2? Answer with the number."}]
# Objects of this schema have at most 320 bytes: white space and numbers are bounded, so 400 tokens are always enough.
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}
CITY = {
    "type": "object",
    "properties": {"city": {"enum": ["Paris", "Rome"]}},
    "required": ["city"],
    "additionalProperties": False,
}


def is_person(test, text):
    person = json.loads(text)
    test.assertEqual(set(person), {"name", "age"})
    test.assertLessEqual(len(person["name"]), 20)
    test.assertIn(person["age"], range(151))


class Server:
    def __init__(self, model=MODEL):
        keys = "build/sdk-test-keys"
        with open(keys, "w") as file:
            file.write(KEY + "\n")
        command = [AUTOGLM, "serve", str(model), "--port", "0", "--alias", "tiny", "--api-key-file", keys, "--ctx", "1024"]
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
        self.assertEqual(whole.choices[0].finish_reason == "length", whole.usage.completion_tokens == 40)
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
        form = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON, "strict": True}}
        for seed in range(3):
            answer = self.client.chat.completions.create(
                model="tiny", messages=QUESTION, response_format=form, seed=seed, temperature=1.0, max_tokens=400
            )
            self.assertEqual(answer.choices[0].finish_reason, "stop")
            is_person(self, answer.choices[0].message.content)
        form["json_schema"]["schema"] = {"type": "array", "uniqueItems": True}
        with self.assertRaises(openai.BadRequestError) as bad:
            self.client.chat.completions.create(model="tiny", messages=QUESTION, response_format=form)
        self.assertEqual(bad.exception.param, "response_format")

    def test_tools_that_must_be_called_are(self):
        tools = [{"type": "function", "function": {"name": "weather", "parameters": CITY}}]
        ask = dict(model="tiny", messages=QUESTION, tools=tools, max_tokens=400, temperature=1.0, seed=1)
        answer = self.client.chat.completions.create(
            tool_choice={"type": "function", "function": {"name": "weather"}}, parallel_tool_calls=False, **ask
        )
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


class Responses(unittest.TestCase):
    """The `openai` package's newer half."""

    @classmethod
    def setUpClass(cls):
        cls.client = openai.OpenAI(base_url=server.address + "/v1", api_key=KEY, max_retries=0)
        cls.ask = dict(model="tiny", input=QUESTION[0]["content"], instructions="Be brief.", temperature=0)

    def test_whole_and_streamed_are_the_same(self):
        whole = self.client.responses.create(max_output_tokens=40, **self.ask)
        messages = [{"role": "system", "content": "Be brief."}, *QUESTION]
        chat = self.client.chat.completions.create(model="tiny", messages=messages, temperature=0, max_tokens=40)
        self.assertEqual(whole.output_text, chat.choices[0].message.content)
        self.assertEqual(whole.status, "incomplete" if whole.usage.output_tokens == 40 else "completed")
        with self.client.responses.stream(max_output_tokens=40, **self.ask) as stream:
            events = list(stream)
        final = events[-1].response  # get_final_response() knows only those that were not cut
        self.assertEqual([event.sequence_number for event in events], list(range(len(events))))
        text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
        self.assertEqual(text, whole.output_text)
        self.assertEqual(final.output_text, whole.output_text)
        self.assertEqual(final.usage.output_tokens, whole.usage.output_tokens)
        self.assertGreater(final.usage.input_tokens_details.cached_tokens, 0)
        plain = self.client.responses.create(stream=True, max_output_tokens=40, **self.ask)
        kinds = [event.type for event in plain]
        self.assertEqual(kinds[:2], ["response.created", "response.in_progress"])
        self.assertEqual(kinds[-1], "response." + whole.status)
        again = self.client.responses.create(
            model="tiny", input=[*QUESTION, *(item.to_dict() for item in whole.output), *QUESTION], max_output_tokens=4
        )
        self.assertGreater(again.usage.input_tokens, whole.usage.input_tokens)

    def test_prompts_are_those_of_chats(self):
        """The same prompt and defaults as a chat's: what differs is what instructions put in the place of the model's own
        system message, which a model of this size follows into another answer."""
        plain = self.client.responses.create(model="tiny", input=QUESTION[0]["content"], temperature=0)
        self.assertIn("4", plain.output_text)
        listed = self.client.responses.create(model="tiny", input=QUESTION, temperature=0)
        for system, answer in (([], plain), ([], listed), ([{"role": "system", "content": "Be brief."}], None)):
            if answer is None:
                answer = self.client.responses.create(max_output_tokens=40, **self.ask)
            chat = self.client.chat.completions.create(
                model="tiny", messages=system + QUESTION, temperature=0, max_tokens=answer.usage.output_tokens
            )
            self.assertEqual(answer.output_text, chat.choices[0].message.content)
            self.assertEqual(answer.usage.input_tokens, chat.usage.prompt_tokens)
        warm = self.client.responses.create(model="tiny", input=QUESTION, max_output_tokens=1)
        self.assertEqual((warm.temperature, warm.top_p), (0.7, 0.95))

    def test_scores(self):
        ask = dict(self.ask, include=["message.output_text.logprobs"], top_logprobs=2, max_output_tokens=12)
        whole = self.client.responses.create(**ask)
        scores = whole.output[0].content[0].logprobs
        self.assertEqual("".join(one.token for one in scores), whole.output_text)
        for one in scores:
            self.assertLessEqual(one.logprob, 0)
            self.assertEqual(len(one.top_logprobs), 2)
        streamed = []
        for event in self.client.responses.create(stream=True, **ask):
            if event.type == "response.output_text.delta":
                streamed += [one.token for one in event.logprobs]
        self.assertEqual(streamed, [one.token for one in scores])

    def test_tools(self):
        tool = {"type": "function", "name": "weather", "parameters": CITY, "strict": True}
        ask = dict(self.ask, tools=[tool], tool_choice="required", parallel_tool_calls=False, temperature=1.0)
        whole = self.client.responses.create(max_output_tokens=400, **ask)
        (call,) = whole.output
        self.assertEqual((call.type, call.name), ("function_call", "weather"))
        self.assertIn(json.loads(call.arguments)["city"], ("Paris", "Rome"))
        events = list(self.client.responses.create(stream=True, max_output_tokens=400, **ask))
        deltas = "".join(event.delta for event in events if event.type == "response.function_call_arguments.delta")
        self.assertIn(json.loads(deltas)["city"], ("Paris", "Rome"))
        result = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
        after = self.client.responses.create(
            model="tiny", input=[*QUESTION, call.to_dict(), result], tools=[tool], max_output_tokens=8
        )
        self.assertGreater(after.usage.input_tokens, whole.usage.input_tokens)

    def test_parse(self):
        class Person(pydantic.BaseModel):
            age: int = pydantic.Field(ge=0, le=150)
            kind: bool

        answer = self.client.responses.parse(text_format=Person, max_output_tokens=400, **self.ask)
        self.assertEqual(answer.status, "completed")
        self.assertIn(answer.output_parsed.age, range(151))

    def test_errors(self):
        with self.assertRaises(openai.BadRequestError) as bad:
            self.client.responses.create(previous_response_id="resp_1", **self.ask)
        self.assertEqual(bad.exception.param, "previous_response_id")
        with self.assertRaises(openai.NotFoundError):
            self.client.responses.create(**dict(self.ask, model="gpt-5"))
        for empty in ("", []):
            with self.assertRaises(openai.BadRequestError) as bad:
                self.client.responses.create(model="tiny", input=empty)
            self.assertEqual(bad.exception.param, "input")


class Embeddings(unittest.TestCase):
    """The model's file with a pooling type put in: nothing else makes it one for embeddings."""

    @classmethod
    def setUpClass(cls):
        cls.file = pathlib.Path("build/sdk-embeddings.gguf")
        cls.file.write_bytes(with_pooling(pathlib.Path(MODEL).read_bytes()))
        cls.server = Server(cls.file)
        cls.client = openai.OpenAI(base_url=cls.server.address + "/v1", api_key=KEY, max_retries=0)

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.file.unlink()

    def test_vectors_of_every_client(self):
        texts = ["A cat sat on the mat.", "The cat is sitting on a mat.", "Quarterly tax returns are due in April."]
        coded = self.client.embeddings.create(model="tiny", input=texts)  # base64 on the wire
        plain = self.client.embeddings.create(model="tiny", input=texts, encoding_format="float")
        vectors = [one.embedding for one in plain.data]
        for one, other in zip(coded.data, vectors):
            self.assertEqual(len(one.embedding), 576)
            self.assertLess(max(abs(a - b) for a, b in zip(one.embedding, other)), 1e-6)
            self.assertAlmostEqual(sum(a * a for a in other), 1, places=5)

        def alike(a, b):
            return sum(x * y for x, y in zip(a, b))

        self.assertGreater(alike(vectors[0], vectors[1]), alike(vectors[0], vectors[2]))
        self.assertGreater(plain.usage.prompt_tokens, 20)
        client = ollama.Client(host=self.server.address, headers={"Authorization": "Bearer " + KEY})
        self.assertEqual([list(one) for one in client.embed(model="tiny", input=texts).embeddings], vectors)
        self.assertEqual(list(client.embeddings(model="tiny", prompt=texts[0]).embedding), vectors[0])

    def test_models_without_pooling_refuse(self):
        other = openai.OpenAI(base_url=server.address + "/v1", api_key=KEY, max_retries=0)
        with self.assertRaises(openai.BadRequestError) as bad:
            other.embeddings.create(model="tiny", input="a")
        self.assertIn("pooling", str(bad.exception))


def with_pooling(gguf):
    """Two entries more: 64 bytes, so that what is aligned stays aligned."""
    magic, version, tensors, entries = struct.unpack_from("<4sIQQ", gguf)

    def entry(key, kind, value):
        return struct.pack("<Q", len(key)) + key + struct.pack("<I", kind) + value

    more = entry(b"llama.pooling_type", 4, struct.pack("<I", 1)) + entry(b"general.a", 8, struct.pack("<Q", 1) + b"b")
    assert len(more) == 64
    return struct.pack("<4sIQQ", magic, version, tensors, entries + 2) + more + gguf[24:]


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
        self.assertEqual(whole.stop_reason, "max_tokens" if whole.usage.output_tokens == 40 else "end_turn")
        with self.client.messages.stream(**ask, **greedy) as stream:
            text = "".join(stream.text_stream)
            final = stream.get_final_message()
        self.assertEqual(text, whole.content[0].text)
        self.assertEqual(final.usage.output_tokens, whole.usage.output_tokens)
        counted = self.client.messages.count_tokens(model="tiny", messages=QUESTION, system="Be brief.")
        self.assertEqual(counted.input_tokens, whole.usage.input_tokens + whole.usage.cache_read_input_tokens)

    def test_an_answer_goes_on_with_the_assistants_last_message(self):
        greedy = {"extra_body": {"temperature": 0}}
        whole = self.client.messages.create(model="tiny", messages=QUESTION, max_tokens=40, **greedy).content[0].text
        begun, rest = whole[: len(whole) // 2], whole[len(whole) // 2 :]
        # The cut may be within a token, and the model then says it in other words: the text goes on all the same.
        begun, rest = (begun[: begun.rindex(" ")], whole[begun.rindex(" ") :]) if " " in begun else (begun, rest)
        messages = [*QUESTION, {"role": "assistant", "content": begun}]
        answer = self.client.messages.create(model="tiny", messages=messages, max_tokens=40, **greedy)
        self.assertEqual(answer.content[0].text, rest)
        with self.client.messages.stream(model="tiny", messages=messages, max_tokens=40, **greedy) as stream:
            self.assertEqual("".join(stream.text_stream), rest)
        counted = self.client.messages.count_tokens(model="tiny", messages=messages)
        self.assertEqual(counted.input_tokens, answer.usage.input_tokens + answer.usage.cache_read_input_tokens)
        fields = {"continue_final_message": True, "add_generation_prompt": False}
        client = openai.OpenAI(base_url=server.address + "/v1", api_key=KEY, max_retries=0)
        chat = client.chat.completions.create(
            model="tiny", messages=messages, temperature=0, max_tokens=40, extra_body=fields
        )
        self.assertEqual(chat.choices[0].message.content, rest)
        other = ollama.Client(host=server.address, headers={"Authorization": "Bearer " + KEY})
        said = other.chat(model="tiny", messages=messages, options={"temperature": 0, "num_predict": 40})
        self.assertEqual(said.message.content, rest)

    def test_tools(self):
        tools = [{"name": "weather", "description": "Weather of a city", "input_schema": CITY}]
        choice = {"type": "any", "disable_parallel_tool_use": True}
        ask = dict(model="tiny", messages=QUESTION, max_tokens=400, tools=tools, tool_choice=choice)
        whole = self.client.messages.create(**ask)
        (call,) = whole.content
        self.assertEqual((call.type, call.name, whole.stop_reason), ("tool_use", "weather", "tool_use"))
        self.assertIn(call.input["city"], ("Paris", "Rome"))
        with self.client.messages.stream(**ask) as stream:
            parts = "".join(event.partial_json for event in stream if event.type == "input_json")
            final = stream.get_final_message()
        self.assertIn(final.content[0].input["city"], ("Paris", "Rome"))
        self.assertEqual(json.loads(parts), final.content[0].input)
        result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}
        history = [*QUESTION, {"role": "assistant", "content": whole.content}, {"role": "user", "content": [result]}]
        after = self.client.messages.create(model="tiny", messages=history, max_tokens=8, tools=tools)
        self.assertGreater(after.usage.output_tokens, 0)
        counted = self.client.messages.count_tokens(model="tiny", messages=history, tools=tools)
        self.assertEqual(counted.input_tokens, after.usage.input_tokens + after.usage.cache_read_input_tokens)

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

    def test_formats_and_tools(self):
        options = {"temperature": 1.0, "num_predict": 400, "seed": 1}
        answer = self.client.chat(model="tiny", messages=QUESTION, format=PERSON, options=options)
        self.assertEqual(answer.done_reason, "stop")
        is_person(self, answer.message.content)

        def weather(city: str) -> str:
            """Weather of a city.

            Args:
              city: its name
            """
            return city

        # Whether a model of this size calls it is its own affair; that both are understood is not.
        call = {"function": {"name": "weather", "arguments": {"city": "Rome"}}}
        history = [
            *QUESTION,
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "tool_name": "weather", "content": "sunny"},
        ]
        short = {"temperature": 0, "num_predict": 8}
        without = self.client.chat(model="tiny", messages=QUESTION, options=short)
        after = self.client.chat(model="tiny", messages=history, tools=[weather], options=short)
        self.assertGreater(after.prompt_eval_count, without.prompt_eval_count)

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
