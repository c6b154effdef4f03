"""`autoglm optimize` from outside: what it promises before it works, and what it refuses. tests/optimize has the rest.

    python3 tests/cli/optimize_test.py AUTOGLM MODEL.gguf
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

AUTOGLM, MODEL = sys.argv[1:3]


def run(*arguments):
    done = subprocess.run([AUTOGLM, "optimize", MODEL, *map(str, arguments), "--json"], capture_output=True, text=True)
    return done.returncode, json.loads(done.stdout)


class OptimizeTest(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.out = pathlib.Path(self.temporary.name) / "out"

    def tearDown(self):
        self.temporary.cleanup()

    def test_a_dry_run_predicts_and_writes_nothing(self):
        code, plan = run("-o", self.out, "--dry-run", "--time-budget", "24h")
        self.assertEqual(code, 0)
        # The model is quantized: no stage changes its weights.
        self.assertEqual([stage["name"] for stage in plan["stages"]], ["baseline", "tuning", "comparison"])
        for stage in plan["stages"]:
            self.assertGreater(stage["predicted_ms"], 0)
            self.assertGreater(stage["predicted_memory_bytes"], 0)
            self.assertIsNone(stage["taken_ms"])
        self.assertEqual(plan["shrunk"], [])
        self.assertFalse(self.out.exists())
        code, plan = run("-o", self.out, "--dry-run", "--time-budget", "24h", "--no-tune")
        self.assertEqual(plan["stages"][1]["predicted_ms"], 0)
        code, plan = run("-o", self.out, "--dry-run", "--time-budget", "24h", "--requantize")
        self.assertEqual(len(plan["stages"]), 6)

    def test_memory_is_predicted_for_the_run_as_it_will_be(self):
        run_alone = subprocess.run(
            [AUTOGLM, "bench", MODEL, "--workload", "chat", "--requests", "1", "--scale", "0.1", "--tuned", "none"]
            + ["--no-probe", "--json"], capture_output=True, text=True, check=True)
        planned = json.loads(run_alone.stdout)["planned_bytes"]
        _, plan = run("-o", self.out, "--dry-run", "--time-budget", "24h")
        baseline, tuning, comparison = (stage["predicted_memory_bytes"] for stage in plan["stages"])
        # Beside the run there is only this program, which has the model's file open.
        self.assertGreater(baseline, planned)
        self.assertLess(baseline, planned + pathlib.Path(MODEL).stat().st_size + (64 << 20))
        self.assertEqual(baseline, comparison)
        self.assertGreater(tuning, baseline, "keys and values in BF16 are tried, too")

    def refused(self, *arguments, message):
        code, answer = run(*arguments)
        self.assertEqual(code, 2, answer)
        self.assertIn(message, answer["error"]["message"])
        self.assertTrue(answer["error"]["hint"])
        self.assertFalse(self.out.exists())

    def test_what_cannot_be_is_refused_with_a_hint(self):
        self.refused("-o", self.out, "--max-bytes", "1MiB", message="as small as")
        self.refused("-o", self.out, "--max-bytes", "1MiB", "--requantize", message="as small as")
        self.refused("-o", self.out, "--memory-limit", "32MiB", message="runs within")
        self.refused(message="a folder to write to")
        self.refused("-o", self.out / "below", message="is not there")
        self.refused("-o", self.out, "--workload", "poetry", message="poetry")

    def test_a_dry_run_refuses_an_out_that_the_run_would_refuse(self):
        folder = self.out.parent
        (folder / "file").write_text("")
        (folder / "dangling").symlink_to("nowhere")
        (folder / "earlier" / "report.md").mkdir(parents=True)
        before = sorted(folder.rglob("*"))
        outs = ["file", "file/out", "none/out", "dangling", "earlier", "x" * 300]
        for out in [*(folder / name for name in outs), "/proc/out"]:
            dry_code, dry = run("-o", out, "--dry-run", "--time-budget", "24h")
            code, real = run("-o", out)
            self.assertEqual((dry_code, dry), (code, real), out)
            self.assertIn(code, (1, 2), out)
            self.assertTrue(dry["error"]["hint"], out)
        self.assertEqual(sorted(folder.rglob("*")), before)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]], verbosity=2)
