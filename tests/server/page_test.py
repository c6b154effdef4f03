"""The web page in headless Chromium: real conversations with the real server and a real model, by keyboard.

    python3 tests/server/page_test.py AUTOGLM MODEL.gguf [TEST...]

Needs Debian's `chromium` (tools/setup.sh check). Run by `make check`. Leaves screenshots in
build/page-pictures: look at them after a change of the page.
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest
import urllib.request

from browser import SHIFT, Browser

AUTOGLM, MODEL = sys.argv[1:3]
PICTURES = pathlib.Path("build/page-pictures")
KEY = "key-of-the-page-test"
QUESTION = "What is 2+2? Answer with the number."
DONE = "!document.querySelector('.message.live') && document.querySelector('.message.assistant:last-child .stats')?.innerText"
CURRENT = "Object.values(localStorage).map((one) => { try { return JSON.parse(one) } catch { return {} } }).filter((one) => one.nodes).sort((a, b) => b.updated - a.updated)[0]"


class Server:
    def __init__(self, *more):
        command = [AUTOGLM, "serve", MODEL, "--port", "0", "--alias", "tiny", "--ctx", "2048", "--no-kv-persist", "--quiet"]
        self.process = subprocess.Popen([*command, *more], stdout=subprocess.PIPE, text=True)
        self.address = re.fullmatch(r"listening on (http://\S+)\n", self.process.stdout.readline())[1]

    def ask(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self.address + path, data)) as answer:
            return json.load(answer)

    def stop(self):
        self.process.terminate()
        return self.process.wait(timeout=30)


class PageTest(unittest.TestCase):
    """A page of its own for each test; nothing on the console, no request to anybody else."""

    allowed = ()  # what the console may say
    server = None

    def setUp(self):
        self.pages = []

    def open(self, language=None, script=None, **form):
        page = browser.page(**form)
        self.pages.append(page)
        if script:
            page.call("Page.addScriptToEvaluateOnNewDocument", source=script)
        if language:
            page.call("Emulation.setUserAgentOverride", userAgent="test", acceptLanguage=language)
        page.open(self.address() + "/")
        page.wait("document.activeElement?.matches('#message-box, #key')")
        return page

    def address(self):
        return (self.server or server).address

    def tearDown(self):
        for page in self.pages:
            complaints = [one for one in page.complaints if not any(word in one for word in self.allowed)]
            self.assertEqual(complaints, [])
            for address in page.addresses:
                self.assertTrue(address.startswith((self.address() + "/", "data:", "blob:")), address)
                self.assertNotIn(KEY, address)
            page.close()

    def configure(self, page, **values):
        """Through the settings, by keyboard."""
        page.tab_to("#settings", back=True)
        page.press("Enter")
        page.wait("document.querySelector('dialog.settings[open]')")
        for name, value in values.items():
            page.tab_to(f"#set-{name}")
            if isinstance(value, bool):
                if page.run(f"document.getElementById('set-{name}').checked") != value:
                    page.press(" ")
            elif isinstance(value, int):  # of a list: so many down
                for _ in range(value):
                    page.press("ArrowDown")
            else:
                page.run("document.activeElement.select()")
                page.press("Backspace")
                page.type(value)
        page.press("Escape")
        page.wait("!document.querySelector('dialog')")
        self.assertTrue(page.run("document.activeElement.id === 'settings'"), "the focus goes back")

    def say(self, page, text):
        page.tab_to("#message-box")
        page.type(text)
        page.press("Enter")
        page.wait("document.querySelector('.message.user:nth-last-child(2)')")

    def answer(self, page):
        """Waits for the end; the last message as it is kept."""
        page.wait(DONE, 120)
        return page.run(f"(({CURRENT}).nodes[({CURRENT}).leaf])")


class Chat(PageTest):
    def test_a_conversation_by_keyboard(self):
        page = self.open()
        page.picture(PICTURES / "chat-empty.png")
        self.configure(page, temperature="0", max_tokens="48", seed="7", system="Be brief.")
        page.tab_to("#message-box")
        page.type("first line")
        page.press("Enter", SHIFT)
        self.assertEqual(page.run("document.activeElement.value"), "first line\n")
        self.assertEqual(page.count(".message"), 0, "Shift+Enter does not send")
        page.run("document.activeElement.select()")
        page.press("Backspace")
        self.say(page, QUESTION)
        self.assertEqual(page.run("document.querySelector('.log').getAttribute('aria-live')"), "polite")
        kept = self.answer(page)
        messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": QUESTION}]
        whole = server.ask("/v1/chat/completions", dict(messages=messages, temperature=0, max_tokens=48, seed=7))
        self.assertEqual(kept["content"], whole["choices"][0]["message"]["content"])
        self.assertEqual(kept["usage"]["completion_tokens"], whole["usage"]["completion_tokens"])
        self.assertIn(kept["content"].split("\n")[0][:40], page.text(".message.assistant .answer"))
        self.assertRegex(page.text(".message.assistant .stats"), r"\d+ tokens · [\d.–]+ tokens/s · first after [\d.]+ m?s")
        self.assertIn("complete", page.text("#status"))
        self.assertEqual(page.run("document.activeElement.id"), "message-box", "the next message can be typed at once")

        self.say(page, "And 3+3?")
        self.assertIn("tokens reused", self.answer(page) and page.text(".message:last-child .stats"))

        page.tab_to(".message.user:nth-last-child(2) [aria-label=Edit]", back=True)
        page.press("Enter")
        page.wait("document.activeElement.matches('.edit')")
        page.run("document.activeElement.select()")
        page.type("Name a colour.")
        page.press("Enter")
        self.answer(page)
        self.assertEqual(page.text(".message.user:nth-last-child(2) .plain"), "Name a colour.")
        self.assertEqual(page.text(".message.user:nth-last-child(2) .versions"), "2 of 2")
        page.tab_to(".message:last-child [aria-label='Answer again']", back=True)
        page.press("Enter")
        page.wait("document.querySelector('.message.assistant:last-child .versions')?.innerText === '2 of 2'", 120)
        page.tab_to(".message.user:nth-last-child(2) [aria-label='Earlier version']", back=True)
        page.press("Enter")
        self.assertEqual(page.text(".message.user:nth-last-child(2) .plain"), "And 3+3?", "nothing is lost")
        self.assertEqual(page.run(f"Object.keys(({CURRENT}).nodes).length"), 7)

        page.call("Page.reload")
        page.wait("document.querySelector('.conversation')")
        self.assertEqual(page.text(".conversation"), QUESTION)
        page.tab_to(".conversation", back=True)
        page.press("Enter")
        self.assertEqual(page.text(".message.user:nth-last-child(2) .plain"), "And 3+3?")
        self.assertEqual(page.count(".message"), 4)

    def test_stop_with_escape(self):
        page = self.open()
        self.configure(page, temperature="0", max_tokens="1500")
        self.say(page, "Tell me a very long story about a dragon.")
        page.wait("document.querySelector('.message.live .answer')?.innerText.length > 20")
        self.assertEqual(page.run("document.querySelector('.send').getAttribute('aria-label')"), "Stop")
        page.press("Escape")
        page.wait("!document.querySelector('.message.live')")
        self.assertIn("stopped", page.text(".message.assistant .message-foot"))
        kept = page.run(f"({CURRENT}).nodes.m2")
        self.assertEqual(kept["finish"], "stopped")
        self.assertGreater(len(kept["content"]), 20, "what came is kept")
        page.wait("fetch('debug/requests?limit=1').then((r) => r.json()).then((all) => all.requests[0].status === 499)")
        self.say(page, QUESTION)
        page.wait("document.querySelector('.message:last-child .answer')?.innerText", 60)
        page.press("Escape")
        page.wait("!document.querySelector('.message.live')")

    def test_probabilities(self):
        page = self.open()
        self.configure(page, scores=True, temperature="0", max_tokens="40")
        self.say(page, "Write one sentence about the sea, with an emoji 🌊.")
        kept = self.answer(page)
        self.assertEqual("".join(bytes(b for row in kept["scores"] for b in row[3]).decode(errors="replace")), kept["content"])
        page.tab_to(".message:last-child .scores-button", back=True)
        page.press("Enter")
        self.assertEqual(page.run("document.querySelector('.tokens').textContent"), kept["content"])
        self.assertGreater(page.count(".token"), 5)
        page.tab_to(".token", back=True)
        first = page.text(".score-panel")
        self.assertEqual(page.count(".score-other"), 5)
        page.press("ArrowRight")
        self.assertNotEqual(page.text(".score-panel"), first)
        self.assertRegex(page.run("document.activeElement.getAttribute('aria-label')"), r": (< )?[\d.]+ %$")
        page.picture(PICTURES / "probabilities.png")

    def test_copy_export_delete_undo(self):
        page = self.open()
        browser.call("Browser.grantPermissions", browserContextId=page.context, permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
        self.configure(page, temperature="0", max_tokens="20")
        self.say(page, QUESTION)
        kept = self.answer(page)
        page.tab_to(".message:last-child [aria-label=Copy]", back=True)
        page.press("Enter")
        page.wait("document.querySelector('.icon-button.done')")
        self.assertEqual(page.run("navigator.clipboard.readText()"), kept["content"])
        with tempfile.TemporaryDirectory() as folder:
            browser.call("Browser.setDownloadBehavior", behavior="allow", browserContextId=page.context, downloadPath=folder)
            page.tab_to("#export", back=True)
            page.press("Enter")
            file = pathlib.Path(folder) / "conversations.json"
            while not file.exists():
                page.run("new Promise((resume) => setTimeout(resume, 50))")
            [exported] = json.loads(file.read_text())
        self.assertEqual([one["role"] for one in exported["messages"]], ["user", "assistant"])
        self.assertEqual(exported["messages"][1]["content"], kept["content"])
        page.tab_to(".conversations li .icon-button", back=True)
        page.press("Enter")
        self.assertEqual(page.count(".conversation"), 0)
        self.assertIsNone(page.run(f"({CURRENT}) ?? null"))
        page.tab_to(".toast button")
        page.press("Enter")
        self.assertEqual(page.count(".conversation"), 1)
        self.assertEqual(page.count(".message"), 2)

    def test_errors_are_told(self):
        page = self.open()
        self.configure(page, system="word " * 3000)
        self.say(page, QUESTION)
        page.wait("document.querySelector('.note.error')")
        self.assertIn("2048", page.text(".note.error"))
        self.assertTrue(page.complaints and "400" in page.complaints.pop(), "the browser tells of a 400, and of nothing else")


    def test_thoughts_are_folded_and_have_a_switch(self):
        # No model that thinks is small enough to fetch: its server's side is acted, in the form of /v1/chat/completions.
        page = self.open(script=THINKER)
        self.configure(page, thinking=1)
        self.say(page, "Think!")
        page.wait(DONE)
        self.assertEqual(page.run("window.asked.thinking"), {"type": "enabled"})
        self.assertEqual(page.run("document.querySelector('.thought').open"), False)
        self.assertEqual(page.text(".message.assistant .answer"), "It is 4.")
        page.tab_to(".thought summary", back=True)
        page.press("Enter")
        page.wait("document.querySelector('.thought').open")
        self.assertEqual(page.text(".thought .markdown"), "Two and two...")


THINKER = r"""
const real = window.fetch;
window.fetch = async (address, options) => {
  const path = new URL(address).pathname;
  if (path === "/page/about") return Response.json({ ...(await (await real(address, options)).json()), thinks: true });
  if (path !== "/v1/chat/completions") return real(address, options);
  window.asked = JSON.parse(options.body);
  const deltas = [{ role: "assistant", reasoning_content: "Two and " }, { reasoning_content: "two..." }, { content: "It is" }, { content: " 4." }];
  const chunks = deltas.map((delta) => ({ choices: [{ index: 0, delta, logprobs: null, finish_reason: null }] }));
  chunks.push({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }] }, { choices: [], usage: { prompt_tokens: 3, completion_tokens: 9 } });
  return new Response(chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`).join("") + "data: [DONE]\n\n");
};
"""


class Text(PageTest):
    def markdown(self, page, text):
        return page.run(f"import('/page/markdown.js').then(({{showMarkdown}}) => {{ const e = document.createElement('div'); showMarkdown(e, {json.dumps(text)}); return e.innerHTML; }})")

    def test_nothing_that_is_said_becomes_html(self):
        page = self.open()
        self.configure(page, max_tokens="4")
        evil = "<img src=x onerror=\"document.title='bad'\"> <script>document.title='bad'</script> **b**"
        self.say(page, evil)
        self.answer(page)
        self.assertEqual(page.text(".message.user .plain"), evil)
        shown = self.markdown(page, evil + "\n\n[a](javascript:alert(1)) [b](https://e.org/\" onclick=\"x) ![c](https://e.org/c.png)\n\n```html\n<b>\n```")
        self.assertNotRegex(shown, r"<(img|script|b)\b|javascript:alert\(1\)\"|<\w+[^>]*onclick=")
        self.assertIn("&lt;img src=x", shown)
        self.assertEqual(page.run("document.title"), "AutoGLM")
        blocked = page.run("(() => { try { document.createElement('p').innerHTML = 'x'; return false; } catch { return true; } })()")
        self.assertTrue(blocked, "even a mistake of ours could not")
        page.complaints.clear()

    def test_markdown(self):
        page = self.open()
        for text, html in [
            ("a *b* **c** `d*e*`", "<p>a <em>b</em> <strong>c</strong> <code>d*e*</code></p>"),
            ("2 * 3 * 4 snake_case_name", "<p>2 * 3 * 4 snake_case_name</p>"),
            ("# One\ntext\nmore", "<h3>One</h3><p>text<br>more</p>"),
            ("- a\n- b\n  - c\n- d", "<ul><li>a</li><li>b<ul><li>c</li></ul></li><li>d</li></ul>"),
            ("3. a\n4. b", '<ol start="3"><li>a</li><li>b</li></ol>'),
            ("1. a\n\n2. b\n\nend", "<ol><li>a</li><li>b</li></ol><p>end</p>"),
            ("> a\n> > b", "<blockquote><p>a</p><blockquote><p>b</p></blockquote></blockquote>"),
            ("**open", "<p>**open</p>"),
            ("---", "<hr>"),
        ]:
            self.assertEqual(self.markdown(page, text), html, text)
        self.assertIn("<code>x &lt; 1</code></pre>", self.markdown(page, "```py\nx < 1"))
        self.assertIn('<a href="https://e.org/a" target="_blank" rel="noopener noreferrer"', self.markdown(page, "[a](https://e.org/a)"))
        self.assertIn("<td>2</td>", self.markdown(page, "|a|b|\n|-|-|\n|1|2|"))
        for hostile in ("`" * 5000, "> " * 2000, "*" * 5000, "[" * 5000, "|" * 5000, "\n".join(" " * i + "- a" for i in range(300))):
            self.assertIsNotNone(self.markdown(page, hostile))

    def test_languages_and_colours(self):
        page = self.open(language="zh-CN")
        self.assertEqual(page.text("#tab-dashboard"), "仪表盘")
        self.assertEqual(page.run("document.documentElement.lang"), "zh-CN")
        self.configure(page, max_tokens="60", temperature="0")
        page.picture(PICTURES / "chat-empty-zh.png")
        self.say(page, "天空为什么是蓝色的？")
        self.answer(page)
        page.picture(PICTURES / "chat-zh.png")
        page.tab_to("#language", back=True)
        page.press("Enter")
        self.assertEqual(page.text("#tab-dashboard"), "Dashboard")
        self.assertEqual(page.count(".message"), 2, "the conversation stays")
        self.assertEqual(page.run("document.activeElement.id"), "language")
        page.call("Page.reload")
        page.wait("document.querySelector('#tab-dashboard')?.innerText === 'Dashboard'")

        brightness = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).reduce((sum, one) => sum + Number(one), 0)"
        self.assertGreater(page.run(brightness), 600)
        page.colours("dark")
        self.assertLess(page.run(brightness), 150)
        page.tab_to("#theme", back=True)
        page.press("Enter")
        self.assertGreater(page.run(brightness), 600, "light, whatever the system says")
        page.press("Enter")
        page.colours("light")
        self.assertLess(page.run(brightness), 150, "dark, whatever the system says")


class Views(PageTest):
    def talk(self, page):
        self.configure(page, max_tokens="150", temperature="0")
        self.say(page, "Explain recursion with a short example in Python.")
        page.press("Tab", SHIFT)

    def test_dashboard_and_timeline(self):
        page = self.open()
        self.talk(page)
        page.tab_to("#tab-chat", back=True)
        page.press("ArrowRight")
        self.assertEqual(page.run("document.activeElement.id"), "tab-dashboard")
        page.wait("document.querySelectorAll('.plot .line').length >= 5", 120)
        page.wait("document.querySelector('.tile dd').innerText !== '–'")
        self.assertRegex(page.text(".tile dl"), r"p50\s+[\d.]+ m?s\s+p95\s+[\d.]+ m?s\s+p99\s+[\d.]+ m?s")
        generated = page.run("fetch('metrics').then((r) => r.text()).then((text) => /vllm:generation_tokens_total\\S* (\\d+)/.exec(text)[1])")
        self.assertGreater(int(generated), 1)
        page.wait("/[1-9]\\d* answers/.test(document.querySelector('.total').innerText)")
        self.assertIn("tokens/s", page.run("document.querySelector('.plot-svg').getAttribute('aria-label')"))
        page.wait("document.querySelector('.plot .line').getAttribute('d').match(/[ML]/g).length >= 6", 120)
        polled = lambda: sum(address.endswith("/metrics") for address in page.addresses)
        kinds = page.run("(async () => { const kinds = []; for (const a of document.querySelectorAll('.dashboard a'))"
                         " kinds.push((await fetch(a.href.replace('seconds=5', 'seconds=0.2'))).headers.get('content-type'));"
                         " return kinds; })()")
        self.assertEqual(kinds, ["text/html; charset=utf-8", "application/json"])  # the flame graph, the trace
        page.picture(PICTURES / "dashboard.png")
        page.press("ArrowRight")
        before = polled()
        page.wait("document.querySelectorAll('.requests tbody tr').length >= 1")
        looked = len([one for one in page.addresses if "debug/requests" in one])
        while len([one for one in page.addresses if "debug/requests" in one]) < looked + 2:
            page.run("new Promise((resume) => setTimeout(resume, 100))")
        self.assertLessEqual(polled(), before + 1, "nobody looks, nobody asks")
        self.assertRegex(page.text(".requests tbody tr"), r"chat/completions")
        page.wait("/\\d+ in \\(\\d+ reused\\), \\d+ out/.test(document.querySelector('.requests tbody').innerText)")
        self.assertGreaterEqual(page.count(".requests tbody tr:first-child .stage"), 3)
        page.tab_to(".requests tbody .track")
        page.picture(PICTURES / "timeline.png")
        page.tab_to("[name=align]", back=True)
        page.press("ArrowRight")
        self.assertTrue(page.run("document.getElementById('by-clock').checked"))
        page.colours("dark")
        page.picture(PICTURES / "timeline-dark.png")
        page.tab_to("#tab-timeline", back=True)
        page.press("ArrowLeft")
        page.picture(PICTURES / "dashboard-dark.png")

    def test_on_a_phone(self):
        page = self.open(width=390, height=844, phone=True)
        page.picture(PICTURES / "phone-empty.png")
        narrow = "[...document.querySelectorAll('.bar *, main *')].every((one) => one.closest('pre, .table, svg') || one.getBoundingClientRect().right <= 390.5)"
        self.assertTrue(page.run(narrow))
        self.talk(page)
        page.wait("document.querySelector('.message.assistant .answer')?.innerText.length > 100", 60)
        self.assertTrue(page.run(narrow))
        page.picture(PICTURES / "phone-chat.png")
        page.tab_to("#menu", back=True)
        page.press("Enter")
        page.wait("document.activeElement.id === 'new-chat'")
        page.picture(PICTURES / "phone-menu.png")
        page.press("Escape")
        for tab in ("dashboard", "timeline"):
            page.run(f"document.getElementById('tab-{tab}').click()")
            page.wait({"dashboard": "document.querySelector('.plot .line')", "timeline": "document.querySelector('.requests .stage')"}[tab])
            self.assertTrue(page.run(narrow), tab)
            page.picture(PICTURES / f"phone-{tab}.png")

    def test_pictures_of_a_conversation(self):
        page = self.open()
        self.talk(page)
        self.answer(page)
        page.picture(PICTURES / "chat-light.png")
        page.colours("dark")
        page.picture(PICTURES / "chat-dark.png")
        page.run("document.getElementById('settings').click()")
        page.picture(PICTURES / "settings-dark.png")


class Key(PageTest):
    allowed = ("401",)

    @classmethod
    def setUpClass(cls):
        keys = pathlib.Path("build/page-test-keys")
        keys.write_text(KEY + "\n")
        cls.server = Server("--api-key-file", str(keys))

    @classmethod
    def tearDownClass(cls):
        assert cls.server.stop() == 0

    def test_the_key_is_asked_for_kept_and_forgotten(self):
        page = self.open()
        page.picture(PICTURES / "key.png")
        page.type("another-key-here")
        page.press("Enter")
        page.wait("!document.getElementById('wrong').hidden")
        page.run("document.activeElement.select()")
        page.type(KEY)
        page.press("Enter")
        page.wait("document.activeElement.id === 'message-box'")
        self.configure(page, max_tokens="8")
        self.say(page, QUESTION)
        self.answer(page)
        page.call("Page.reload")
        page.wait("document.activeElement.id === 'message-box'")
        self.assertEqual(page.text(".conversation"), QUESTION)
        self.assertEqual(page.run("document.cookie + location.href"), self.address() + "/")
        self.assertNotIn(KEY, page.run("JSON.stringify(localStorage)"))
        page.picture(PICTURES / "chat-with-key.png")
        page.tab_to("#forget", back=True)
        page.press("Enter")
        page.wait("document.activeElement.id === 'key'")
        self.assertIsNone(page.run("sessionStorage.getItem('autoglm.key')"))


if __name__ == "__main__":
    PICTURES.mkdir(parents=True, exist_ok=True)
    server = Server()
    browser = Browser()
    result = unittest.main(argv=[sys.argv[0], *sys.argv[3:]], exit=False).result
    browser.close()
    code = server.stop()
    sys.exit(0 if result.wasSuccessful() and code == 0 else 1)
