"""`autoglm pull` against a local stand-in of Hugging Face and ModelScope, as a user would run it.

usage: pull_test.py PATH-OF-AUTOGLM

The stand-in serves one small GGUF under repositories that each misbehave in one way; what it saw is recorded, so that
ranges, tokens and retries are asserted, not assumed.
"""
import hashlib
import http.server
import json
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.parse

BINARY = sys.argv.pop(1) if len(sys.argv) > 1 else "build/bin/autoglm"


def tiny_gguf(size: int = 300_000) -> bytes:
    """A valid header without tensors, padded with one long string: enough for a store, which does not load it."""
    pad = b"x" * size
    key = b"general.description"
    return (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", len(key)) + key + struct.pack("<I", 8)
            + struct.pack("<Q", len(pad)) + pad)


FILE = tiny_gguf()
SHA = hashlib.sha256(FILE).hexdigest()
CONFIG = b'{"model_type": "llama"}'
BLOB = hashlib.sha1(b"blob %d\0" % len(CONFIG) + CONFIG).hexdigest()


class Hub(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status: int, body: bytes = b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        state = self.server.state
        url = urllib.parse.urlparse(self.path)
        if url.scheme:  # we are being used as a proxy
            state["proxied"] += 1
        path = url.path
        state["seen"].append((path, self.headers.get("Range"), self.headers.get("Authorization")))
        repo = re.search(r"/(?:api/models/|api/v1/models/|models/|)(t/[\w-]+)", path)
        kind = repo[1][2:] if repo else ""
        if kind == "silent":
            time.sleep(8)
            return
        if kind == "gated" and self.headers.get("Authorization") != "Bearer hf_secret":
            return self.answer(401, b'{"error": "gated"}')
        if kind == "unknown":
            return self.answer(404, b'{"error": "Repository not found"}')
        if kind == "busy" and state["count"].setdefault(path, 0) < 1:
            state["count"][path] += 1
            return self.answer(429, headers=[("Retry-After", "0")])
        if kind == "alwaysbusy":
            return self.answer(429, headers=[("Retry-After", "0")])
        if kind == "login":
            return self.answer(200, b"<html>please log in</html>")
        if path.startswith("/api/v1/models/"):
            return self.answer(200, json.dumps({"Data": {"Files": [
                {"Path": "m-Q4_0.gguf", "Size": len(FILE), "Sha256": SHA, "Type": "blob"},
                {"Path": "folder", "Type": "tree"}]}}).encode())
        if path.startswith("/api/models/"):
            return self.answer(200, json.dumps(self.listing(kind)).encode())
        if kind == "redirect" and "/resolve/" in path:
            return self.answer(302, headers=[("Location", f"http://127.0.0.1:{state['other']}/cdn/file")])
        if path.endswith("config.json"):
            return self.answer(200, CONFIG)
        self.file(kind)

    def listing(self, kind: str):
        sha = "0" * 64 if kind == "wronghash" else SHA
        if kind == "folder":
            return {"siblings": [{"rfilename": "config.json", "size": len(CONFIG), "blobId": BLOB},
                                 {"rfilename": "model.safetensors", "size": len(FILE), "lfs": {"sha256": SHA}},
                                 {"rfilename": "pytorch_model.bin", "size": 10**12}]}
        if kind == "huge":
            return {"siblings": [{"rfilename": "m-Q4_0.gguf", "size": 10**16, "lfs": {"sha256": SHA}}]}
        if kind == "split":
            return {"siblings": [{"rfilename": f"m-Q8_0-0000{i}-of-00002.gguf", "size": len(FILE), "lfs": {"sha256": SHA}}
                                 for i in (1, 2)]}
        return {"siblings": [{"rfilename": "m-Q4_0.gguf", "size": len(FILE), "lfs": {"sha256": sha}},
                             {"rfilename": "../evil.gguf", "size": 1}, {"rfilename": "README.md", "size": 9}]}

    def file(self, kind: str):
        start = 0
        given = self.headers.get("Range")
        if given and kind != "norange":
            start = int(re.match(r"bytes=(\d+)-", given)[1])
        body = FILE[start:]
        if kind == "cut" and self.server.state["count"].setdefault("cut", 0) < 2:
            self.server.state["count"]["cut"] += 1
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(FILE) - 1}/{len(FILE)}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[:100_000])
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        if kind == "slow":
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(FILE) - 1}/{len(FILE)}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            try:
                for at in range(0, len(body), 3000):
                    self.wfile.write(body[at:at + 3000])
                    time.sleep(0.1)
            except OSError:
                pass
            return
        headers = [("Content-Range", f"bytes {start}-{len(FILE) - 1}/{len(FILE)}")] if start else []
        self.answer(206 if start else 200, body, headers)


class Server:
    def __init__(self):
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
        self.http.daemon_threads = True
        self.state = self.http.state = {"seen": [], "count": {}, "proxied": 0, "other": 0}
        self.port = self.http.server_address[1]
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


class Pull(unittest.TestCase):
    def setUp(self):
        self.hub, self.other = Server(), Server()
        self.hub.state["other"] = self.other.port
        self.folder = tempfile.TemporaryDirectory()
        self.home = pathlib.Path(self.folder.name)

    def tearDown(self):
        for server in (self.hub, self.other):
            server.http.shutdown()
            server.http.server_close()
        self.folder.cleanup()

    def environment(self, **more):
        keep = {k: v for k, v in os.environ.items()
                if not k.startswith(("AUTOGLM", "HF_", "MODELSCOPE")) and "proxy" not in k.lower()}
        return keep | {"AUTOGLM_HOME": str(self.home), "HF_ENDPOINT": f"http://127.0.0.1:{self.hub.port}",
                       "HF_HOME": str(self.home / "hf"), "MODELSCOPE_ENDPOINT": f"http://127.0.0.1:{self.hub.port}",
                       "LANG": "C.UTF-8"} | more

    def run_it(self, *words, **env):
        done = subprocess.run([BINARY, *words], env=self.environment(**env), capture_output=True, text=True, timeout=120,
                              stdin=subprocess.DEVNULL)
        return done

    def good(self, name, **env):
        done = self.run_it("pull", name, "--json", **env)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        answer = json.loads(done.stdout)
        self.assertLessEqual({"name", "path", "bytes", "sha256"}, set(answer))
        return answer

    def bad(self, name, exit_code, code, *fragments, **env):
        done = self.run_it("pull", name, "--json", **env)
        self.assertEqual(done.returncode, exit_code, done.stdout + done.stderr)
        error = json.loads(done.stdout)["error"]
        self.assertEqual(error["code"], code, error)
        for fragment in fragments:
            self.assertIn(fragment, error["message"] + " " + error["hint"])
        return error

    def test_plain_file_is_verified_and_listed_and_removed(self):
        answer = self.good("hf:t/plain")
        self.assertEqual((answer["bytes"], answer["sha256"]), (len(FILE), SHA))
        self.assertEqual(pathlib.Path(answer["path"]).read_bytes(), FILE)
        seen = len(self.hub.state["seen"])
        self.good("hf:t/plain")
        self.assertEqual(len(self.hub.state["seen"]), seen, "the second pull asks nobody")
        listed = json.loads(self.run_it("list", "--json").stdout)["models"]
        self.assertEqual([m["name"] for m in listed], ["hf:t/plain"])
        self.assertEqual(self.run_it("rm", "hf:t/plain").returncode, 0)
        self.assertEqual(json.loads(self.run_it("list", "--json").stdout)["models"], [])
        self.assertFalse(pathlib.Path(answer["path"]).exists())

    def test_model_scope(self):
        self.assertEqual(self.good("ms:t/plain:Q4_0")["sha256"], SHA)

    def test_split_files_come_whole(self):
        answer = self.good("hf:t/split")
        self.assertEqual(answer["bytes"], 2 * len(FILE))
        self.assertTrue(answer["path"].endswith("00001-of-00002.gguf"))
        self.assertTrue(pathlib.Path(answer["path"].replace("00001-of", "00002-of")).exists())

    def test_safetensors_folder(self):
        answer = self.good("hf:t/folder")
        self.assertEqual(sorted(p.name for p in pathlib.Path(answer["path"]).iterdir() if p.name[0] != "."),
                         ["config.json", "manifest.json", "model.safetensors"])

    def test_redirect_keeps_the_token_at_home(self):
        self.good("hf:t/redirect", HF_TOKEN="hf_secret")
        self.assertTrue(any(auth == "Bearer hf_secret" for _, _, auth in self.hub.state["seen"]))
        cdn = [entry for entry in self.other.state["seen"] if entry[0].startswith("/cdn/")]
        self.assertEqual([auth for _, _, auth in cdn], [None])

    def test_cut_connection_goes_on_where_it_stopped(self):
        self.good("hf:t/cut")
        ranges = [r for path, r, _ in self.hub.state["seen"] if "/resolve/" in path]
        self.assertEqual(ranges, [None, "bytes=100000-", "bytes=200000-"])

    def test_host_without_ranges_starts_again(self):
        part = self.home / "models" / "hf%3At%2Fnorange" / "m-Q4_0.gguf.part"
        part.parent.mkdir(parents=True)
        part.write_bytes(FILE[:1000])
        self.good("hf:t/norange")

    def test_interrupt_keeps_the_part_and_the_next_pull_resumes(self):
        process = subprocess.Popen([BINARY, "pull", "hf:t/slow"], env=self.environment(), stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        part = self.home / "models" / "hf%3At%2Fslow" / "m-Q4_0.gguf.part"
        until = time.time() + 30
        while time.time() < until and not (part.exists() and part.stat().st_size > 10_000):
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        self.assertEqual(process.returncode, 130)
        self.assertTrue(part.exists())
        self.assertIsNone(json.loads(self.run_it("list", "--json").stdout).get("error"))
        size = part.stat().st_size
        self.good("hf:t/slow")
        ranges = [r for path, r, _ in self.hub.state["seen"] if "/resolve/" in path]
        self.assertEqual(ranges[-1], f"bytes={size}-")

    def test_401_names_the_token(self):
        self.bad("hf:t/gated", 1, "download_failed", "401", "HF_TOKEN")
        self.good("hf:t/gated", HF_TOKEN="hf_secret")

    def test_the_stored_token_is_used_and_never_shown(self):
        (self.home / "hf").mkdir()
        (self.home / "hf" / "token").write_text("hf_secret\n")
        done = self.run_it("pull", "hf:t/gated", "--log-level", "debug")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("hf_secret", done.stdout + done.stderr)

    def test_404(self):
        self.bad("hf:t/unknown", 3, "model_not_found", "hf:t/unknown")

    def test_429_waits_as_told_and_then_gives_up(self):
        self.good("hf:t/busy")
        self.bad("hf:t/alwaysbusy", 1, "download_failed", "429")

    def test_wrong_hash_leaves_nothing(self):
        self.bad("hf:t/wronghash", 1, "download_failed", SHA, "0" * 64)
        self.assertEqual(list(self.home.rglob("*.gguf*")), [])

    def test_login_page_instead_of_an_answer(self):
        self.bad("hf:t/login", 1, "download_failed", "JSON")

    def test_silent_endpoint_names_mirrors_and_modelscope(self):
        start = time.time()
        self.bad("hf:t/silent", 1, "download_failed", "silent", "HF_ENDPOINT", "ms:t/silent")
        self.assertLess(time.time() - start, 60)

    def test_endpoint_that_is_not_there(self):
        self.bad("hf:t/plain", 1, "download_failed", "HF_ENDPOINT", HF_ENDPOINT="http://127.0.0.1:9")

    def test_proxy(self):
        self.good("hf:t/plain", http_proxy=f"http://127.0.0.1:{self.other.port}", HF_ENDPOINT="http://hub.invalid")
        self.assertGreaterEqual(self.other.state["proxied"], 2)

    def test_disk_is_checked_first(self):
        self.bad("hf:t/huge:Q4_0", 1, "disk_full", "free")
        self.assertFalse(any("/resolve/" in path for path, _, _ in self.hub.state["seen"]))

    def test_address_of_a_gguf_and_of_a_page(self):
        self.good(f"http://127.0.0.1:{self.hub.port}/t/plain/resolve/main/m.gguf")
        self.bad(f"http://127.0.0.1:{self.hub.port}/t/login", 3, "bad_model_file", "not a GGUF")

    def test_unknown_names_and_licences(self):
        self.bad("smollm2:135", 3, "model_not_found", "smollm2:135m")
        self.bad("gemma3:270m", 2, "licence_not_accepted", "--accept-license", "ai.google.dev")

    def test_run_offers_to_pull_only_as_told(self):
        done = self.run_it("run", "hf:t/plain", "hello", "--pull", "never", "--json")
        self.assertEqual(done.returncode, 3)
        self.assertIn("autoglm pull hf:t/plain", json.loads(done.stdout)["error"]["hint"])
        done = self.run_it("run", "hf:t/plain", "hello", "--json")  # no terminal: it does not ask
        self.assertEqual(done.returncode, 3)
        self.assertEqual(self.hub.state["seen"], [])

    def test_clean_removes_leftovers_only(self):
        self.good("hf:t/plain")
        left = self.home / "models" / "hf%3At%2Fleft" / "m.gguf.part"
        left.parent.mkdir()
        left.write_bytes(b"x" * 1000)
        done = self.run_it("clean", "--dry-run")
        self.assertEqual(done.returncode, 0)
        self.assertTrue(left.exists())
        self.assertEqual(self.run_it("clean").returncode, 0)
        self.assertFalse(left.parent.exists())
        self.assertEqual(len(json.loads(self.run_it("list", "--json").stdout)["models"]), 1)


if __name__ == "__main__":
    unittest.main(verbosity=1)
