#!/usr/bin/env python3
"""Traces of the real server, taken in by a stand-in for a collector and decoded with PyPI's opentelemetry-proto.

usage: otlp_test.py AUTOGLM MODEL
"""
import http.server
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
STAGES = ["network", "prepare", "queue", "prefill", "decode", "serialization"]


class Collector(http.server.ThreadingHTTPServer):
    """Keeps every export; answers 503 to the first one, as a collector does that is not ready."""

    def __init__(self, certificate=None):
        super().__init__(("127.0.0.1", 0), Handler)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.exports = []
        self.calls = 0
        self.rejects = 0  # spans of each export, with a message
        self.changed = threading.Condition()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def roots(self, count):
        """Waits until there are so many root spans; {root: (span, children)} of all."""
        deadline = time.monotonic() + 60
        while True:
            with self.changed:
                spans = [s for e in self.exports for r in e.resource_spans for sc in r.scope_spans for s in sc.spans]
                roots = [s for s in spans if s.kind == s.SPAN_KIND_SERVER]
                if len(roots) >= count:
                    return [(r, [s for s in spans if s.parent_span_id == r.span_id and s.trace_id == r.trace_id])
                            for r in roots]
                assert time.monotonic() < deadline, f"{len(roots)} of {count} root spans came"
                self.changed.wait(1)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server = self.server
        server.calls += 1
        first = server.calls == 1
        reply = ExportTraceServiceResponse()
        if server.rejects and not first:
            reply.partial_success.rejected_spans = server.rejects
            reply.partial_success.error_message = "spans of 1970 are too old"
        reply = reply.SerializeToString()
        self.send_response(503 if first else 200)
        self.send_header("Retry-After", "0")
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)
        assert self.path == "/v1/traces", self.path
        assert self.headers["Content-Type"] == "application/x-protobuf"
        assert self.headers["x-tenant"] == "a b", self.headers
        if first:
            return
        export = ExportTraceServiceRequest()
        export.ParseFromString(body)
        with server.changed:
            server.exports.append(export)
            server.changed.notify_all()

    def log_message(self, *_):
        pass


def attributes(thing):
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in thing.attributes}


def ask(base, body, headers=None, path="/v1/completions"):
    """The answer's text and the seconds that it took, as a client has them."""
    request = urllib.request.Request(base + path, json.dumps(body).encode(), headers or {})
    begin = time.perf_counter()
    with urllib.request.urlopen(request) as reply:
        text = reply.read()
    return text, time.perf_counter() - begin


def check_tiles(root, children):
    children = sorted(children, key=lambda s: s.start_time_unix_nano)
    names = [c.name for c in children]
    assert names == [s for s in STAGES if s in names], names
    at = root.start_time_unix_nano
    for child in children:
        assert child.start_time_unix_nano == at, (child.name, child.start_time_unix_nano - at)
        at = child.end_time_unix_nano
        assert child.kind == child.SPAN_KIND_INTERNAL
        assert child.span_id != root.span_id
    assert at == root.end_time_unix_nano
    assert len({c.span_id for c in children}) == len(children)
    return names


def run(base, collector, server):
    body = {"prompt": "The sea", "max_tokens": 48, "ignore_eos": True, "temperature": 0}
    before = time.time()
    ask(base, body, {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "v=1", "x-request-id": "mine"})
    (root, children), = collector.roots(1)
    assert root.trace_id.hex() == TRACE and root.parent_span_id.hex() == PARENT
    assert root.trace_state == "v=1"
    assert root.name == "POST /v1/completions"
    assert root.flags & 0x301 == 0x301, root.flags
    assert before - 1 < root.start_time_unix_nano / 1e9 < time.time() + 1
    said = attributes(root)
    assert said["http.response.status_code"] == 200 and said["autoglm.request_id"] == "mine", said
    assert said["gen_ai.usage.output_tokens"] == 48 and said["autoglm.finish_reason"] == "length", said
    assert check_tiles(root, children) == STAGES
    resource = attributes(collector.exports[0].resource_spans[0].resource)
    assert resource["service.name"] == "poet" and resource["deployment.environment"] == "test", resource

    # A caller that does not sample; one whose header is malformed begins a trace of its own; a refused request.
    ask(base, body, {"traceparent": f"00-{TRACE}-{PARENT}-00"})
    ask(base, {**body, "stream": True}, {"traceparent": "00-zz"})
    try:
        ask(base, {"prompt": 1.5})
        raise AssertionError("not refused")
    except urllib.error.HTTPError as error:
        assert error.code == 400
    roots = collector.roots(3)
    assert len(roots) == 3, len(roots)
    assert all(not r.parent_span_id and r.trace_id.hex() != TRACE for r, _ in roots[1:])
    assert check_tiles(*roots[1]) == STAGES
    assert check_tiles(*roots[2]) == ["network", "prepare", "serialization"]
    assert attributes(roots[2][0])["http.response.status_code"] == 400

    # The stages' sum is what the client waited, but for the way there and back. A busy machine may wake the client
    # late, so one of some requests has to show it.
    shares = []
    for n in range(10):
        _, seconds = ask(base, {**body, "max_tokens": 256})
        root, children = collector.roots(4 + n)[-1]
        total = sum(c.end_time_unix_nano - c.start_time_unix_nano for c in children) / 1e9
        assert total <= seconds, (total, seconds)
        shares.append(total / seconds)
        if shares[-1] >= 0.98:
            break
    assert max(shares) >= 0.98, shares

    # What is queued when the server ends is sent.
    count = len(collector.roots(1))
    ask(base, body)
    server.send_signal(signal.SIGTERM)
    collector.roots(count + 1)
    assert server.wait(60) == 0
    return max(shares)


class Server:
    def __init__(self, binary, model, endpoint, **environment):
        environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_SERVICE_NAME": "poet",
                       "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=a%20b", "OTEL_BSP_SCHEDULE_DELAY": "50",
                       "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=test", **environment}
        arguments = [binary, "serve", model, "--port", "0", "--ctx", "2048", "--no-kv-persist", "--quiet"]
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        env=environment)
        self.base = re.search(r"http://\S+", self.process.stdout.readline()).group()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()


def run_tls(binary, model):
    """Over https: a certificate that the system trusts is good, another is not."""
    with tempfile.TemporaryDirectory() as folder:
        pem = os.path.join(folder, "both.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-days", "2", "-subj", "/CN=collector", "-addext", "subjectAltName=IP:127.0.0.1",
                        "-keyout", pem, "-out", pem + ".crt"], check=True, capture_output=True)
        with open(pem, "a", encoding="ascii") as both, open(pem + ".crt", encoding="ascii") as certificate:
            both.write(certificate.read())
        collector = Collector(pem)
        endpoint = f"https://127.0.0.1:{collector.server_port}"
        body = {"prompt": "The sea", "max_tokens": 2}
        with Server(binary, model, endpoint, SSL_CERT_FILE=pem + ".crt") as server:
            ask(server.base, body)
            collector.roots(1)
        with Server(binary, model, endpoint) as server:
            ask(server.base, body)
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(60) == 0
        assert len(collector.roots(1)) == 1


def metric(base, name):
    with urllib.request.urlopen(base + "/metrics") as reply:
        return sum(float(line.rsplit(" ", 1)[1]) for line in reply.read().decode().splitlines() if line.startswith(name))


def run_partial(binary, model):
    """A collector that takes only a part says why: once in the log, and every span is counted where it went."""
    collector = Collector()
    collector.rejects = 2
    with Server(binary, model, f"http://127.0.0.1:{collector.server_port}") as server:
        for n in range(3):
            ask(server.base, {"prompt": "The sea", "max_tokens": 2})
            collector.roots(n + 1)
        spans = sum(len(children) + 1 for _, children in collector.roots(3))
        deadline = time.monotonic() + 60
        while True:
            sent, dropped = (metric(server.base, f"autoglm:trace_spans_{name}") for name in ("total", "dropped_total"))
            if sent + dropped == spans:
                break
            assert time.monotonic() < deadline, (sent, dropped, spans)
            time.sleep(0.05)
        exports = len(collector.exports)
        assert dropped == 2 * exports, (dropped, exports)
        server.process.send_signal(signal.SIGTERM)
        errors = server.process.communicate(timeout=60)[1]
    assert errors.count("spans of 1970 are too old") == 1, errors


def main():
    binary, model = sys.argv[1:]
    collector = Collector()
    with Server(binary, model, f"http://127.0.0.1:{collector.server_port}") as server:
        share = run(server.base, collector, server.process)
    run_tls(binary, model)
    run_partial(binary, model)
    print(f"otlp: every span decoded; stages cover {100 * share:.2f} % of the client's latency")


if __name__ == "__main__":
    main()
