#!/usr/bin/env python3
"""`make bench-serve`: our server and llama.cpp's under the same loads, in alternating rounds.

    python3 bench/serve.py                                  # every load, five rounds: about half an hour on two cores
    python3 bench/serve.py --only shared --reps 2           # one load
    python3 bench/serve.py --llama-server PROGRAM           # an existing build instead of one made below build/peers

A round starts a server, warms it up, runs a load, and stops it: first ours, then llama.cpp's. Clients are asyncio over plain
sockets, one process, so that both servers are measured by the same hand. A figure is the median of its rounds; percentiles
are taken over all requests of a round. Writes serve.json to bench/results and a table to stdout.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time

import peers

ROOT = peers.ROOT
MODELS = peers.PEERS / "models"
SMOLLM2 = ROOT / "build" / "oracle" / "smollm2-135m-q4_1.gguf"
WORDS = "time people water light house river stone green table night world paper music garden winter summer letter".split()


def words(count, seed):
    """`count` words, which no other seed begins with."""
    state = seed * 2654435761 % 2**32
    out = []
    for _ in range(count):
        state = (state * 1664525 + 1013904223) % 2**32
        out.append(WORDS[(state >> 16) % len(WORDS)])
    return " ".join(out)


# --- the client ----------------------------------------------------------------------------------------------------


class Answer:
    def __init__(self):
        self.status = 0
        self.begin = time.perf_counter()
        self.first = None  # seconds from the request to its first token
        self.times = []  # of tokens
        self.tokens = 0
        self.prompt = 0  # its tokens
        self.cached = 0
        self.end = None


async def ask(port, body, path="/v1/completions"):
    """One streamed request on a connection of its own."""
    answer = Answer()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n"
    answer.begin = time.perf_counter()
    writer.write(head.encode() + b"Connection: close\r\n\r\n" + data)
    status = await reader.readline()
    answer.status = int(status.split()[1]) if status else 0
    while (line := await reader.readline()).strip():
        pass
    while line := await reader.readline():
        if not line.startswith(b"data: {"):
            continue  # a whole answer is read to its end
        chunk = json.loads(line[6:])
        now = time.perf_counter() - answer.begin
        if usage := chunk.get("usage"):
            answer.tokens = usage["completion_tokens"]
            answer.prompt = usage["prompt_tokens"]
            answer.cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
        if chunk.get("choices") and chunk["choices"][0].get("text"):
            if answer.first is None:
                answer.first = now
            answer.times.append(now)
    answer.end = time.perf_counter() - answer.begin
    writer.close()
    return answer


def request(prompt, tokens):
    return {
        "model": "default",
        "prompt": prompt,
        "max_tokens": tokens,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def whole_request(prompt, tokens):
    return {k: v for k, v in request(prompt, tokens).items() if not k.startswith("stream")}


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def gaps(answers):
    return [b - a for answer in answers for a, b in zip(answer.times, answer.times[1:])]


def split_gaps(answers, begin, end):
    """Gaps before `begin`, and those that end between `begin` and `end`."""
    idle, busy = [], []
    for answer in answers:
        for a, b in zip(answer.times[1:], answer.times[2:]):
            moment = answer.begin + b
            if begin <= moment <= end:
                busy.append(b - a)
            elif moment < begin:
                idle.append(b - a)
    return idle, busy


def figures(answers, seconds):
    good = [answer for answer in answers if answer.status == 200]
    return {
        "output_tps": sum(answer.tokens for answer in good) / seconds,
        "first_p50_ms": 1e3 * percentile([a.first for a in good], 0.5),
        "first_p95_ms": 1e3 * percentile([a.first for a in good], 0.95),
        "gap_p50_ms": 1e3 * percentile(gaps(good), 0.5),
        "gap_p99_ms": 1e3 * percentile(gaps(good), 0.99),
    }


# --- the loads -----------------------------------------------------------------------------------------------------


async def shared_prefix(server, requests):
    """8 clients, requests of 370 tokens of which 200 are the same, 64 tokens each."""
    prefix = server.text(200, 1)
    left = [request(prefix + " " + server.text(170, 100 + i), 64) for i in range(requests)]
    answers = []

    async def client():
        while left:
            answers.append(await ask(server.port, left.pop(0)))

    begin = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(8)))
    return figures(answers, time.perf_counter() - begin)


async def long_beside_streams(server, length=1500):
    """Three streams, then a long prompt beside them."""
    alone = await ask(server.port, request(server.text(length, 7), 2))
    streams = [asyncio.create_task(ask(server.port, request(server.text(20, 30 + i), 300))) for i in range(3)]
    await asyncio.sleep(0.7)
    begin = time.perf_counter()
    long = await ask(server.port, request(server.text(length, 8), 2))
    end = time.perf_counter()
    answers = await asyncio.gather(*streams)
    idle, busy = split_gaps(answers, begin, end)
    return {
        "idle_gap_ms": 1e3 * statistics.median(idle),
        "busy_gap_p99_ms": 1e3 * percentile(busy, 0.99),
        "gap_ratio": percentile(busy, 0.99) / statistics.median(idle),
        "long_alone_ms": 1e3 * alone.first,
        "long_beside_ms": 1e3 * long.first,
        "long_ratio": long.first / alone.first,
    }


async def long_text(server, size=1_000_000):
    """Three streams alone, then with texts of 1 MB beside them, which are tokenized and found too long."""
    bodies = [request(words(size // 4, 60 + i)[:size], 2) for i in range(10)]
    seconds = []

    async def send_texts(streams):
        while bodies and not any(stream.done() for stream in streams):
            answer = await ask(server.port, bodies.pop())
            if answer.status != 400:
                raise RuntimeError(f"a text of {size} bytes is answered with {answer.status}")
            seconds.append(answer.end)
            await asyncio.sleep(0.05)

    result = {}
    for name in ("alone", "beside"):
        streams = [asyncio.create_task(ask(server.port, request(server.text(20, 50 + i), 500))) for i in range(3)]
        if name == "beside":
            await send_texts(streams)
        taken = gaps(await asyncio.gather(*streams))
        result |= {f"gap_p{n}_{name}_ms": 1e3 * percentile(taken, n / 100) for n in (50, 99)}
    return result | {"texts": len(seconds), "text_ms": 1e3 * statistics.median(seconds)}


async def prefix_again(server):
    """A prompt of 1,000 tokens, again, and again after kill -9."""
    prompt = request(server.text(1000, 11), 2)
    cold = await ask(server.port, prompt)
    again = await ask(server.port, prompt)
    result = {"cold_ms": 1e3 * cold.first, "again_ms": 1e3 * again.first, "again_ratio": again.first / cold.first}
    if server.ours:
        await asyncio.sleep(2)  # blocks go to disk in the background
        server.restart(signal.SIGKILL)
        await ask(server.port, request(server.text(30, 12), 2))  # a new process warms up
        killed = await ask(server.port, prompt)
        result |= {"killed_ms": 1e3 * killed.first, "killed_ratio": killed.first / cold.first, "killed_cached": killed.cached}
    return result


async def too_many(server):
    """64 at once against a queue of 8 and a batch of 4."""
    begin = time.perf_counter()
    answers = await asyncio.gather(*(ask(server.port, request(server.text(100, 200 + i), 32)) for i in range(64)))
    refused = [answer for answer in answers if answer.status == 429]
    return {
        "answered": sum(answer.status == 200 for answer in answers),
        "refused": len(refused),
        "others": sum(answer.status not in (200, 429) for answer in answers),
        "slowest_refusal_ms": 1e3 * max((answer.end for answer in refused), default=float("nan")),
        "seconds": time.perf_counter() - begin,
    }


async def one_client(server, length=500, tokens=64):
    """One client. Ours beside `autoglm bench` in turns, what its first token takes beyond the engine's step, and the
    CPU time a streamed token takes of the server's network thread and of this client, who has no cores of its own."""
    streamed, whole, plain, first, network, client = [], [], [], [], [], []
    for i in range(3):
        prompt = server.text(length, 300 + i)
        before = await server.prefill_seconds()
        network_before, client_before = server.network_seconds(), time.process_time()
        answer = await ask(server.port, request(prompt, tokens))
        client.append((time.process_time() - client_before) / tokens)
        network.append((server.network_seconds() - network_before) / tokens)
        first.append(answer.first - (await server.prefill_seconds() - before))
        streamed.append((len(answer.times) - 1) / (answer.times[-1] - answer.times[0]))
        # The prompt is in the cache now: two whole answers differ by what is decoded.
        ends = [(await ask(server.port, whole_request(prompt, n))).end for n in (1, 1 + tokens)]
        whole.append(tokens / (ends[1] - ends[0]))
        if server.ours:
            bench = [server.command[0], "bench", server.command[2], "--prompt", "16", "--depth", str(answer.prompt)]
            bench += ["--gen", str(tokens), "--reps", "1", "--json", "--quiet"]
            plain.append(json.loads(subprocess.run(bench, check=True, capture_output=True).stdout)["decode_tps"])
    result = {"stream_tps": statistics.median(streamed), "whole_tps": statistics.median(whole)}
    if server.ours:
        result["bench_tps"] = statistics.median(plain)
        result["stream_overhead"] = result["bench_tps"] / result["stream_tps"] - 1
        result["whole_overhead"] = result["bench_tps"] / result["whole_tps"] - 1
        result["first_beyond_step_ms"] = 1e3 * statistics.median(first)
        result["network_us_per_token"] = 1e6 * statistics.median(network)
        result["client_us_per_token"] = 1e6 * statistics.median(client)
    return result


# --- the servers ---------------------------------------------------------------------------------------------------


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    def __init__(self, ours, command):
        self.ours = ours
        self.command = command
        self.process = None
        self.port = 0
        self.start()

    def start(self):
        self.port = free_port()
        log = open(peers.PEERS / f"serve-{'ours' if self.ours else 'llama'}.log", "w")
        self.process = subprocess.Popen(self.command + ["--port", str(self.port)], stdout=log, stderr=log)
        for _ in range(1200):
            if self.process.poll() is not None:
                raise peers.Unavailable(f"{self.command[0]} ended with {self.process.returncode}: see {log.name}")
            if self.healthy():
                return
            time.sleep(0.05)
        raise peers.Unavailable(f"{self.command[0]} is not ready after a minute")

    async def warm_up(self):
        await ask(self.port, request(words(40, 3), 8))
        # The tokenizer of a model with random weights makes three tokens of a word.
        one, many = [(await ask(self.port, request(words(n, 4), 1))).prompt for n in (10, 110)]
        self.words_per_token = 100 / (many - one)

    async def prefill_seconds(self):
        """What the engine has spent on prompts so far; 0 where the server does not say."""
        if not self.ours:
            return 0.0
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
        text = (await reader.read()).decode()
        writer.close()
        found = re.search(r"^vllm:request_prefill_time_seconds_sum\S* (\S+)", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def network_seconds(self):
        """CPU time of our network thread so far."""
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            if (task / "comm").read_text().strip() == "autoglm-net":
                return int((task / "schedstat").read_text().split()[0]) / 1e9
        return 0.0

    def text(self, tokens, seed):
        """A text of about `tokens` tokens."""
        return words(max(1, round(tokens * self.words_per_token)), seed)

    def healthy(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"GET /health HTTP/1.0\r\n\r\n")
                return b" 200 " in connection.recv(100)
        except OSError:
            return False

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait(timeout=60)

    def restart(self, how):
        self.stop(how)
        self.start()


class Load:
    def __init__(self, name, model, run, ours=(), llama=(), slots=8, ctx=2048, only_ours=False, restarts=False):
        self.name, self.model, self.run = name, model, run
        self.ours, self.llama, self.slots, self.ctx = list(ours), list(llama), slots, ctx
        self.only_ours, self.restarts = only_ours, restarts


def loads():
    big = MODELS / "llama-1.45b-Q4_0.gguf"
    batch = ["--max-batch-size", "8"]
    # Words at random make the model repeat itself, and then several tokens come at once: gaps would be those of luck.
    steady = [*batch, "--speculation", "off"]
    return [
        Load("shared", SMOLLM2, lambda s: shared_prefix(s, 32), batch),
        Load("shared-1.45b", big, lambda s: shared_prefix(s, 16), batch),
        Load("long", SMOLLM2, long_beside_streams, steady, slots=4, ctx=4096),
        Load("long-1.45b", big, long_beside_streams, steady, slots=4, ctx=4096),
        Load("text", SMOLLM2, long_text, steady, only_ours=True),
        Load("prefix", SMOLLM2, prefix_again, batch, restarts=True),
        Load("queue", SMOLLM2, too_many, ["--max-batch-size", "4", "--max-queue", "8"], only_ours=True),
        Load("one", SMOLLM2, one_client, steady, slots=1),
    ]


def prepare(model, autoglm):
    if model.exists():
        return
    if model.parent != MODELS:
        raise peers.Unavailable(f"{model} is missing: run tools/fetch_test_data.sh")
    MODELS.mkdir(parents=True, exist_ok=True)
    shape, kind = model.stem.rsplit("-", 1)
    peers.run([autoglm, "bench", "--shape", shape, "--type", kind, "--write", str(model), "--quiet"])


def round_of(load, ours, options):
    if ours:
        cache = peers.PEERS / "serve-cache"
        command = [options.autoglm, "serve", str(load.model), "--ctx", str(load.ctx), "--cache-dir", str(cache)] + load.ours
        if load.restarts:
            shutil.rmtree(cache / "prefixes", ignore_errors=True)  # a round begins cold
        else:
            command += ["--no-kv-persist"]
    else:
        # Its context is shared by its slots; every slot gets what one of our requests may have.
        command = [options.llama_server, "-m", str(load.model), "-c", str(load.ctx * load.slots), "-np", str(load.slots)]
        command += ["-t", str(options.threads), "--no-webui"] + load.llama
    if options.threads and ours:
        command += ["--threads", str(options.threads)]
    server = Server(ours, command)
    try:
        asyncio.run(server.warm_up())
        if load.restarts:
            return asyncio.run(load.run(server))
        return niced(lambda: load.run(server), options.nice)
    finally:
        server.stop()


def niced(run, nice):
    """The clients' process gives way to the server, which is not slowed by who measures it."""

    def child(end):
        os.nice(nice)
        try:
            end.send(asyncio.run(run()))
        except Exception as error:  # carried to the parent, which ends with it
            end.send(error)

    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    process = context.Process(target=child, args=(there,))
    process.start()
    there.close()
    result = here.recv()
    process.join()
    if isinstance(result, Exception):
        raise result
    return result


def medians(rounds):
    return {key: round(statistics.median(r[key] for r in rounds), 4) for key in rounds[0]}


def show(load, result):
    print(f"\n{load.name}: {load.run.__doc__ or ''}".rstrip())
    keys = list(next(iter(result.values())))
    for key in keys:
        cells = [f"{name} {figures.get(key, float('nan')):>10.2f}" for name, figures in result.items()]
        if len(result) == 2 and result["llama.cpp"].get(key):
            cells.append(f"ratio {result['ours'][key] / result['llama.cpp'][key]:.3f}")
        print(f"  {key:<20}" + "   ".join(cells))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--autoglm", default=str(ROOT / "build" / "bin" / "autoglm"))
    parser.add_argument("--llama-server", help="an existing llama-server")
    parser.add_argument("--only", help="loads whose name begins with this")
    parser.add_argument("--reps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--nice", type=int, default=10, help="of the clients")
    parser.add_argument("--ours-alone", action="store_true", help="no other server")
    options = parser.parse_args()
    peers.PEERS.mkdir(parents=True, exist_ok=True)
    if not options.ours_alone and not options.llama_server:
        options.llama_server = str(peers.llama_server())
    results = {}
    for load in loads():
        if options.only and not load.name.startswith(options.only):
            continue
        prepare(load.model, options.autoglm)
        sides = ["ours"] if load.only_ours or options.ours_alone else ["ours", "llama.cpp"]
        rounds = {side: [] for side in sides}
        for number in range(options.reps):
            for side in sides:
                rounds[side].append(round_of(load, side == "ours", options))
                peers.say(f"{load.name} {number + 1}/{options.reps} {side}: {rounds[side][-1]}")
        results[load.name] = {side: medians(rows) for side, rows in rounds.items()}
        show(load, results[load.name])
    out = ROOT / "bench" / "results"
    out.mkdir(parents=True, exist_ok=True)
    (out / "serve.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    try:
        main()
    except peers.Unavailable as error:
        sys.exit(f"bench: {error}")
