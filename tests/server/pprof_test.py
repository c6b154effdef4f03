#!/usr/bin/env python3
"""A CPU profile of the real server while it answers, read as pprof reads it: by github.com/google/pprof's profile.proto.

usage: pprof_test.py AUTOGLM MODEL
"""
import gzip
import json
import re
import subprocess
import sys
import threading
import urllib.error
import urllib.request


def fields(message):
    """(number, value) of a message: an int, or bytes."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        elif key & 7 == 2:
            size = varint()
            yield key >> 3, message[at:at + size]
            at += size
            assert at <= len(message)
        else:
            raise AssertionError(f"wire type {key & 7}")


def packed(data):
    return [value for _, value in fields(b"".join(b"\x08" + part for part in split(data)))]


def split(data):
    begin = 0
    for at, byte in enumerate(data):
        if byte < 128:
            yield data[begin:at + 1]
            begin = at + 1


class Profile:
    def __init__(self, data):
        every = list(fields(gzip.decompress(data)))
        self.strings = [value.decode() for number, value in every if number == 6]
        assert self.strings[0] == ""
        types = [dict(fields(value)) for number, value in every if number == 1]
        assert [(self.strings[t[1]], self.strings[t[2]]) for t in types] == [("samples", "count"), ("cpu", "nanoseconds")]
        functions = {}
        for number, value in every:
            if number == 5:
                function = dict(fields(value))
                functions[function[1]] = self.strings[function[2]]
        mappings = {dict(fields(value))[1] for number, value in every if number == 3}
        self.locations = {}
        for number, value in every:
            if number == 4:
                location = dict(fields(value))
                assert location.get(2, 0) in mappings | {0}
                self.locations[location[1]] = functions[dict(fields(location[4]))[1]]
        once = dict((number, value) for number, value in every if isinstance(value, int))
        self.period, self.duration = once[12], once[10]
        self.samples = []
        for number, value in every:
            if number == 2:
                sample = dict(fields(value))
                label = dict(fields(sample[3]))
                assert self.strings[label[1]] == "thread"
                count, nanoseconds = packed(sample[2])
                assert nanoseconds == count * self.period
                names = [self.locations[i] for i in packed(sample[1])]
                self.samples.append((self.strings[label[2]], names, count))


def main():
    binary, model = sys.argv[1:]
    server = subprocess.Popen([binary, "serve", model, "--port", "0", "--ctx", "2048", "--no-kv-persist", "--quiet"],
                              stdout=subprocess.PIPE, text=True)
    done = threading.Event()
    try:
        base = re.search(r"http://\S+", server.stdout.readline()).group()

        def load():
            body = json.dumps({"prompt": "The sea", "max_tokens": 500, "ignore_eos": True}).encode()
            while not done.is_set():
                urllib.request.urlopen(urllib.request.Request(base + "/v1/completions", body)).read()

        worker = threading.Thread(target=load)
        worker.start()
        with urllib.request.urlopen(base + "/debug/pprof/profile?seconds=3") as reply:
            profile = Profile(reply.read())
        with urllib.request.urlopen(base + "/debug/flamegraph?seconds=1") as reply:
            page = reply.read().decode()
        done.set()
        worker.join()
        idle = Profile(urllib.request.urlopen(base + "/debug/pprof/profile?seconds=1").read())
    finally:
        done.set()
        server.kill()
    total = sum(count for _, _, count in profile.samples)
    stepping = sum(count for _, names, count in profile.samples if any("Engine::step" in n for n in names))
    forward = sum(count for _, names, count in profile.samples if any("Model::forward" in n for n in names))
    named = sum(count for _, names, count in profile.samples if any("autoglm::" in n for n in names))
    assert 2.9e9 < profile.duration < 10e9, profile.duration
    assert total >= 50, total
    assert named > 0.9 * total, (named, total)
    assert forward > 0 and stepping >= forward, (stepping, forward, total)
    assert any("autoglm" in thread for thread, _, _ in profile.samples)
    assert "Engine::step" in page and "Model::forward" in page
    quiet = sum(count for _, _, count in idle.samples)
    assert quiet < 0.05 * 1e9 / idle.period, quiet  # an idle server uses next to nothing
    print(f"pprof: {total} samples, {100 * forward / total:.0f} % below Model::forward, {100 * named / total:.0f} % named;"
          f" {quiet} when idle")


if __name__ == "__main__":
    main()
