"""bench/compare.py against stand-ins of autoglm and llama-bench: rounds alternate, figures, shares and ratios are right."""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest
import unittest.mock
import xml.dom.minidom

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))
import peers  # noqa: E402

OURS = """#!{python}
import json, sys
open("{log}", "a").write("ours " + " ".join(sys.argv[1:]) + "\\n")
if sys.argv[1] == "hw":
    print(json.dumps(dict(cpu="a CPU", physical_cores=2, isa="avx2", features="avx2", memory_total_bytes=1, threads=2)))
elif sys.argv[1] == "version":
    print(json.dumps(dict(version="1", commit="abc")))
else:
    speed = 1.0 if open("{log}").read().count("ours bench") % 2 else 0.5
    print(json.dumps(dict(prefill_tps=1000 * speed, decode_tps=100 * speed, prefill_roof_share=0.5,
        decode_roof_share=0.8, step_file_bytes=9e7, step_kv_bytes=1e7, read_gbps=20 * speed, int8_gops=1000 * speed,
        weight_pages="huge", kv_type="q8", isa="avx2", logits_hash="00", prefill_roof="int8")))
"""

THEIRS = """#!{python}
import json, sys
open("{log}", "a").write("theirs " + " ".join(sys.argv[1:]) + "\\n")
speed = 1.0 if open("{log}").read().count("theirs") % 2 else 0.5
print(json.dumps([dict(n_prompt=8, n_gen=0, avg_ts=500 * speed, build_commit="c"),
                  dict(n_prompt=0, n_gen=4, avg_ts=50 * speed, build_commit="c")]))
"""


class Compare(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = pathlib.Path(self.temporary.name)
        self.log = self.folder / "log"
        for name, text in (("ours", OURS), ("theirs", THEIRS), ("broken", "#!/bin/sh\necho no such model >&2\nexit 1\n")):
            script = self.folder / name
            script.write_text(text.replace("{python}", sys.executable).replace("{log}", str(self.log)))
            script.chmod(0o755)

    def tearDown(self):
        self.temporary.cleanup()

    def compare(self, peer, *more):
        command = [sys.executable, str(ROOT / "bench" / "compare.py"), "--autoglm", str(self.folder / "ours")]
        command += ["--llama-bench", str(self.folder / peer), "--no-openvino", "--only", "smollm2", "--prompt", "8"]
        command += ["--gen", "4", "--reps", "2", "--out", str(self.folder / "out"), *more]
        return subprocess.run(command, capture_output=True, text=True)

    def test_figures_shares_and_ratios(self):
        done = self.compare("theirs")
        self.assertEqual(done.returncode, 0, done.stderr)
        turns = [line.split()[0] for line in self.log.read_text().splitlines() if " hw " not in line and "version" not in line]
        self.assertEqual(turns, ["ours", "theirs", "ours", "theirs"])
        row = json.loads((self.folder / "out" / "bench.json").read_text())["rows"][0]
        self.assertEqual(row["ours"]["prefill_tps"], {"median": 750, "min": 500, "max": 1000})
        peer = row["peers"]["llama.cpp"]
        self.assertEqual(peer["prefill_ratio"]["median"], 2)
        self.assertEqual(peer["decode_ratio"]["min"], 2)
        self.assertAlmostEqual(peer["prefill_roof_share"]["median"], 0.25)  # half our speed
        self.assertAlmostEqual(peer["decode_roof_share"]["median"], 50 * 0.1 / 20)  # 100 MB a token
        table = (self.folder / "out" / "bench.md").read_text()
        self.assertIn("| SmolLM2-135M Q4_1 | prompt 8 | 750 (500 to 1,000) | 50 % | 375 (250 to 500) | 25 % | 2.00x |", table)
        self.assertIn("| SmolLM2-135M Q4_1 | decode 4 |", table)
        self.assertEqual(done.stdout.strip(), table.strip())
        plot = xml.dom.minidom.parse(str(self.folder / "out" / "bench.svg"))
        self.assertGreater(len(plot.getElementsByTagName("rect")), 5)

    def test_a_peer_that_fails_is_said_and_ours_is_measured(self):
        done = self.compare("broken")
        self.assertEqual(done.returncode, 0, done.stderr)
        row = json.loads((self.folder / "out" / "bench.json").read_text())["rows"][0]
        self.assertIn("no such model", row["peers"]["llama.cpp"]["note"])
        self.assertEqual(len(row["rounds"]), 2)
        self.assertIn("no such model", done.stdout)

    def test_unknown_models_are_refused(self):
        done = self.compare("theirs", "--only", "nothing-like-it")
        self.assertEqual(done.returncode, 0)  # the other word matches
        command = [sys.executable, str(ROOT / "bench" / "compare.py"), "--only", "nothing-like-it"]
        done = subprocess.run(command, capture_output=True, text=True)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("GLM-4-9B", done.stderr)


class LlamaBuild(unittest.TestCase):
    """Which of its builds is taken; the builds themselves are stand-ins."""

    def choose(self, native_works):
        with tempfile.TemporaryDirectory() as name:
            builds = []

            def build(folder, options):
                works = native_works or "-DGGML_NATIVE=ON" not in options
                builds.append(options)
                program = folder / "bin" / "llama-bench"
                program.parent.mkdir(parents=True)
                program.write_text("#!/bin/sh\n" + ("exit 0\n" if works else "kill -ILL $$\n"))
                program.chmod(0o755)
                return program

            with unittest.mock.patch.multiple(peers, PEERS=pathlib.Path(name), build_llama=build):
                first = peers.llama_bench("model.gguf")
                second = peers.llama_bench("model.gguf")  # finds what is there
            self.assertEqual(first, second)
            return first[1], builds

    def test_native_where_it_runs(self):
        note, builds = self.choose(True)
        self.assertEqual(note, "native")
        self.assertEqual(builds, [["-DGGML_NATIVE=ON"]])

    def test_without_amx_where_native_crashes(self):
        note, builds = self.choose(False)
        self.assertIn("crashed", note)
        self.assertEqual(len(builds), 2)
        self.assertIn("-DGGML_NATIVE=OFF", builds[1])
        self.assertFalse([option for option in builds[1] if "AMX" in option and option.endswith("=ON")])


if __name__ == "__main__":
    unittest.main()
