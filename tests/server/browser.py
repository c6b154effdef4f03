"""Headless Chromium over the DevTools protocol on a pipe: what a test of a page needs, with the standard library only."""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time

KEYS = {
    "Enter": (13, "\r"),
    "Escape": (27, ""),
    "Tab": (9, ""),
    "ArrowLeft": (37, ""),
    "ArrowRight": (39, ""),
    "ArrowDown": (40, ""),
    "Backspace": (8, ""),
    " ": (32, " "),
}
SHIFT = 8


class Browser:
    def __init__(self, language="en-US"):
        self.folder = tempfile.mkdtemp(prefix="autoglm-browser-")
        to_read, self.write_end = os.pipe()
        self.read_end, to_write = os.pipe()
        command = [
            "chromium", "--headless=new", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu",
            "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
            "--hide-scrollbars", "--font-render-hinting=none", f"--lang={language}", f"--accept-lang={language}",
            f"--user-data-dir={self.folder}",
        ]
        if os.getuid() == 0:
            command.append("--no-sandbox")  # Chromium refuses to start as root with one

        def pipes():
            os.dup2(to_read, 3 + 100)
            os.dup2(to_write, 4 + 100)
            os.dup2(103, 3)
            os.dup2(104, 4)

        self.process = subprocess.Popen(
            command, preexec_fn=pipes, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**os.environ, "LANGUAGE": language},
        )
        os.close(to_read)
        os.close(to_write)
        self.number = 0
        self.changed = threading.Condition()
        self.answers = {}
        self.listeners = {}
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        held = b""
        while chunk := os.read(self.read_end, 1 << 16):
            *messages, held = (held + chunk).split(b"\0")
            for message in map(json.loads, messages):
                if "id" in message:
                    with self.changed:
                        self.answers[message["id"]] = message
                        self.changed.notify_all()
                elif listener := self.listeners.get(message.get("sessionId")):
                    listener(message["method"], message["params"])

    def call(self, method, session=None, **params):
        with self.changed:
            self.number += 1
            number = self.number
        message = {"id": number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self.write_end, json.dumps(message).encode() + b"\0")
        with self.changed:
            if not self.changed.wait_for(lambda: number in self.answers, timeout=60):
                raise TimeoutError(method)
            answer = self.answers.pop(number)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def page(self, width=1280, height=800, phone=False, dark=False):
        """A tab with a profile of its own."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        return Page(self, session, context, width, height, phone, dark)

    def close(self):
        try:
            self.call("Browser.close")
            self.process.wait(timeout=20)
        finally:
            self.process.kill()
            shutil.rmtree(self.folder, ignore_errors=True)


class Page:
    def __init__(self, browser, session, context, width, height, phone, dark):
        self.browser, self.session, self.context = browser, session, context
        self.complaints = []  # what the console would show
        self.addresses = []  # of every request
        browser.listeners[session] = self._hear
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2 if phone else 1, mobile=phone)
        self.call("Emulation.setTouchEmulationEnabled", enabled=phone)
        self.colours("dark" if dark else "light")

    def _hear(self, method, params):
        if method == "Runtime.exceptionThrown":
            self.complaints.append(params["exceptionDetails"].get("exception", {}).get("description") or str(params))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.complaints.append(str(params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(params["entry"]["text"] + " " + params["entry"].get("url", ""))
        elif method == "Network.requestWillBeSent":
            self.addresses.append(params["request"]["url"])

    def call(self, method, **params):
        return self.browser.call(method, self.session, **params)

    def colours(self, scheme):
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def open(self, address):
        self.call("Page.navigate", url=address)

    def run(self, script):
        """The value of a JavaScript expression."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{script}: {result['exceptionDetails']['exception'].get('description')}")
        return result["result"].get("value")

    def wait(self, script, seconds=60):
        """Until the expression is true; returns its value. What lies behind it may take as long as the machine is slow."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                # An element has no value of its own.
                if value := self.run(f"Promise.resolve({script}).then((value) => value instanceof Node || value)"):
                    return value
            except RuntimeError:
                pass  # the page is not there yet
            time.sleep(0.03)
        raise AssertionError(f"never true: {script}\nthe page says: {self.run('document.body.innerText')[:2000]}")

    def text(self, selector):
        return self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? null")

    def count(self, selector):
        return self.run(f"document.querySelectorAll({json.dumps(selector)}).length")

    def type(self, text):
        self.call("Input.insertText", text=text)

    def press(self, key, modifiers=0):
        code, text = KEYS[key]
        named = dict(key=key, code="Space" if key == " " else key, windowsVirtualKeyCode=code, modifiers=modifiers)
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **named)
        self.call("Input.dispatchKeyEvent", type="keyUp", **named)

    def tab_to(self, selector, back=False, most=80):
        """Moves the focus as a keyboard does, and fails where it cannot get."""
        wanted = f"document.activeElement?.matches({json.dumps(selector)})"
        for _ in range(most):
            if self.run(wanted):
                return
            self.press("Tab", SHIFT if back else 0)
        raise AssertionError(f"the keyboard does not reach {selector}")

    def picture(self, file):
        time.sleep(0.3)  # transitions
        with open(file, "wb") as out:
            out.write(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def close(self):
        self.browser.listeners.pop(self.session, None)
        self.browser.call("Target.disposeBrowserContext", browserContextId=self.context)
