#!/usr/bin/env python3
"""`autoglm doctor URL` against servers with one fault each: the fault must be named.

usage: doctor_server_test.py AUTOGLM MODEL
"""
import concurrent.futures
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

BINARY, MODEL = sys.argv[1:]
CAUSES = {"slow_request", "queueing", "small_batches", "full_queue", "preemption", "cold_cache", "changing_start"}
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith(("AUTOGLM_", "OTEL_"))}
BODY = " ".join(f"Item {i} of the list is kept in drawer {i * 7 % 31}." for i in range(24))


class Server:
    def __init__(self, *flags):
        arguments = [BINARY, "serve", MODEL, "--port", "0", "--ctx", "512", "--no-kv-persist", "--quiet", *flags]
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
        self.base = re.search(r"http://\S+", self.process.stdout.readline()).group()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def ask(self, prompt, tokens):
        body = {"prompt": prompt, "max_tokens": tokens, "ignore_eos": True, "temperature": 0}
        try:
            urllib.request.urlopen(urllib.request.Request(self.base + "/v1/completions", json.dumps(body).encode())).read()
        except urllib.error.HTTPError as error:
            assert error.code == 429, error.code

    def ask_at_once(self, count, tokens):
        with concurrent.futures.ThreadPoolExecutor(count) as pool:
            list(pool.map(lambda i: self.ask(f"Story {i}: once upon a time", tokens), range(count)))


def doctor(url, *flags, environment=None):
    done = subprocess.run([BINARY, "doctor", url, "--json", *flags], capture_output=True, text=True, timeout=60,
                          env={**ENVIRONMENT, **(environment or {})}, check=False)
    return done.returncode, json.loads(done.stdout)


def causes(server, *flags):
    code, said = doctor(server.base, *flags)
    assert code == 0, said
    for finding in said["findings"]:
        assert finding["evidence"] and finding["fix"], finding
    named = {finding["cause"] for finding in said["findings"]}
    assert named <= CAUSES, named  # nothing of this machine, which is not the server's
    return named


def expect(cause, server):
    named = causes(server)
    assert cause in named, f"{cause} is not among {sorted(named)}"
    print(f"doctor URL: {cause} is named among {sorted(named)}")


def test_faults():
    with Server() as server:
        for i in range(4):
            server.ask(f"{'A rose is a tulip is an iris'.split()[i]} and so on", 8)
        assert causes(server) <= {"slow_request"}, causes(server)
    with Server("--batching", "none") as server:
        server.ask_at_once(8, 16)
        expect("small_batches", server)
    with Server("--max-batch-size", "4") as server:
        server.ask_at_once(24, 32)
        expect("queueing", server)
    with Server("--max-batch-size", "1", "--max-queue", "1") as server:
        server.ask_at_once(16, 16)
        expect("full_queue", server)
    with Server("--max-batch-size", "4", "--kv-max-bytes", "7MiB") as server:
        server.ask_at_once(4, 300)
        expect("preemption", server)
    with Server("--no-prefix-cache") as server:
        for i in range(6):
            server.ask(f"{BODY} Question {i}?", 2)
        expect("cold_cache", server)
    with Server() as server:
        for i in range(6):
            server.ask(f"It is {i} o'clock. {BODY}", 2)
        expect("changing_start", server)


def stream(server, body, name):
    text = json.dumps({**body, "stream": True}).encode()
    return urllib.request.urlopen(urllib.request.Request(server.base + "/v1/completions", text, {"x-request-id": name}))


def post(server, body, name):
    request = urllib.request.Request(server.base + "/v1/completions", json.dumps(body).encode(), {"x-request-id": name})
    urllib.request.urlopen(request).read()


SHORT = {"prompt": "Once upon a time", "max_tokens": 4, "ignore_eos": True}


def crawl(server):
    """Its body comes in two pieces, with a second and a half between them."""
    host, port = server.base.removeprefix("http://").split(":")
    text = json.dumps(SHORT)
    with socket.create_connection((host, int(port))) as late:
        late.sendall(f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nx-request-id: crawls\r\n"
                     f"Content-Length: {len(text)}\r\n\r\n{text[:9]}".encode())
        time.sleep(1.5)
        late.sendall(text[9:].encode())
        assert b"200" in late.recv(100)
    return "crawls", "network"


def stand(server):
    """The server stands still while it answers, for as long as five such answers take."""
    body = {**SHORT, "max_tokens": 300}
    begin = time.monotonic()
    post(server, body, "ordinary")
    pause = 2 + 5 * (time.monotonic() - begin)
    with stream(server, body, "stood") as reply:
        reply.readline()
        os.kill(server.process.pid, signal.SIGSTOP)
        time.sleep(pause)
        os.kill(server.process.pid, signal.SIGCONT)
        reply.read()
    return "stood", "decode"


def wait_behind(server):
    """Behind a long answer, one at a time."""
    with stream(server, {**SHORT, "max_tokens": 450}, "long") as reply:
        reply.readline()
        post(server, SHORT, "behind")
        reply.read()
    return "behind", "queue"


def test_slow_requests():
    """One request among ordinary ones. A busy machine may make another one slower still: one of five tries counts."""
    for fault in (crawl, stand, wait_behind):
        for last in (False, False, False, False, True):
            with Server("--max-batch-size", "1") as server:
                for i in range(8):
                    post(server, SHORT, f"ordinary-{i}")
                expected = fault(server)
                code, said = doctor(server.base)
            assert code == 0, said
            one = said["measured"]["slow_request"] or {"id": None, "stage": None}
            if (one["id"], one["stage"]) == expected:
                break
            assert not last, (expected, said)
        finding, = [f for f in said["findings"] if f["cause"] == "slow_request"]
        assert one["id"] in finding["evidence"] and one["stage"] in finding["evidence"], finding
        print(f"doctor URL: {finding['evidence']}")


def test_keys():
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as keys:
        keys.write("secret-key\n")
        keys.flush()
        with Server("--api-key-file", keys.name) as server:
            code, said = doctor(server.base)
            assert code != 0 and said["error"]["code"] == "unauthorized", said
            assert "--api-key" in said["error"]["hint"], said
            assert doctor(server.base, "--api-key", "wrong")[1]["error"]["code"] == "unauthorized"
            assert causes(server, "--api-key", "secret-key") == set()
            code, said = doctor(server.base + "/", environment={"AUTOGLM_API_KEY": "secret-key"})
            assert code == 0 and said["measured"]["requests"] == 0, said
            gone = server.base
    code, said = doctor(gone)
    assert code == 1 and said["error"]["code"] == "work_failed" and "refused" in said["error"]["message"], said


test_faults()
test_slow_requests()
test_keys()
