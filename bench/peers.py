"""The engines that we are measured against, set up once below build/peers and driven one round at a time."""

import contextlib
import fcntl
import json
import os
import pathlib
import subprocess
import sys
import tarfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
PEERS = (ROOT / "build" / "peers").resolve()  # CMake wants one name for a folder, and it may be a link
LLAMA_PACKAGE = "llama-cpp-python==0.3.36"
OPENVINO_PACKAGE = "openvino-genai==2026.4.1.0"
ROUND_LIMIT_S = 1800


class Unavailable(Exception):
    """A peer that cannot be set up, or cannot run this file: said in the result, never a failure of the whole run."""


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def run(command, log=None, **options):
    """Runs to the end; output into the log file where one is given. Unavailable with the last lines if it fails."""
    if log is not None:
        with open(log, "w") as out:
            code = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, **options).returncode
        if code != 0:
            tail = "\n".join(pathlib.Path(log).read_text(errors="replace").splitlines()[-5:])
            raise Unavailable(f"{command[0]} ended with {code} ({log}):\n{tail}")
        return ""
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode != 0:
        tail = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise Unavailable(f"{pathlib.Path(command[0]).name} ended with {done.returncode}: {' '.join(tail)[-300:]}")
    return done.stdout


@contextlib.contextmanager
def alone():
    """One at a time sets up peers and writes models; a second waits."""
    PEERS.mkdir(parents=True, exist_ok=True)
    with open(PEERS / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def venv_python():
    python = PEERS / "venv" / "bin" / "python"
    if not python.exists():
        PEERS.mkdir(parents=True, exist_ok=True)
        say("making a virtual environment in build/peers/venv")
        run([sys.executable, "-m", "venv", str(PEERS / "venv")])
    return str(python)


# --- llama.cpp ---------------------------------------------------------------------------------------------------


def cpu_flags():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("flags"):
            return set(line.split(":", 1)[1].split())
    return set()


GGML_ISA = {
    "SSE42": "sse4_2", "AVX": "avx", "F16C": "f16c", "FMA": "fma", "BMI2": "bmi2", "AVX2": "avx2",
    "AVX_VNNI": "avx_vnni", "AVX512": "avx512bw", "AVX512_VBMI": "avx512vbmi", "AVX512_VNNI": "avx512_vnni",
    "AVX512_BF16": "avx512_bf16",
}  # fmt: skip

# What `--isa` of ours may use, in the words of llama.cpp's build.
SAME_ISA = {"generic": ["SSE42"], "avx2": ["SSE42", "AVX", "F16C", "FMA", "BMI2", "AVX2"]}


def ggml_options(wanted):
    return ["-DGGML_NATIVE=OFF"] + [f"-DGGML_{name}={'ON' if name in wanted else 'OFF'}" for name in GGML_ISA]


def options_without_amx():
    """What GGML_NATIVE would choose, but AMX."""
    flags = cpu_flags()
    return ggml_options([name for name, flag in GGML_ISA.items() if flag in flags])


def llama_source():
    """The llama.cpp that the package llama-cpp-python carries."""
    name = LLAMA_PACKAGE.replace("-", "_").replace("==", "-")
    source = PEERS / name / "vendor" / "llama.cpp"
    if source.exists():
        return source
    say(f"fetching {LLAMA_PACKAGE} from PyPI")
    command = [venv_python(), "-m", "pip", "download", "--no-deps", "--no-binary", "llama-cpp-python"]
    run(command + ["-d", str(PEERS), LLAMA_PACKAGE], log=PEERS / "llama-download.log")
    options = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # Debian 12's Python is older
    with tarfile.open(PEERS / f"{name}.tar.gz") as archive:
        archive.extractall(PEERS, **options)
    return source


def build_llama(folder, options, target="llama-bench"):
    source = llama_source()
    jobs = run([str(ROOT / "tools" / "jobs.sh")]).strip()
    say(f"building {target} in {folder} (once; some minutes)")
    server = "ON" if target == "llama-server" else "OFF"
    flags = ["-DCMAKE_BUILD_TYPE=Release", "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_CURL=OFF", "-DLLAMA_BUILD_UI=OFF"]
    flags.append(f"-DLLAMA_BUILD_SERVER={server}")
    configure = ["cmake", "--fresh", "-S", str(source), "-B", str(folder), "-G", "Ninja"] + flags + options
    run(configure, log=PEERS / "llama-configure.log")
    run(["cmake", "--build", str(folder), "-j", jobs, "--target", target], log=PEERS / "llama-build.log")
    return folder / "bin" / target


def llama_server():
    """llama.cpp's own server, without AMX: a native build crashes in some virtual machines."""
    program = PEERS / "llama-server" / "bin" / "llama-server"
    return program if program.exists() else build_llama(PEERS / "llama-server", options_without_amx(), "llama-server")


def llama_bench(trial_model):
    """The path of llama-bench, and how it was built. A native build that crashes on a trial run (AMX in some virtual
    machines) is replaced by one without AMX."""
    native, plain = PEERS / "llama-native", PEERS / "llama-no-amx"
    if (plain / "bin" / "llama-bench").exists():
        return plain / "bin" / "llama-bench", "native but AMX, whose build crashed"
    program = native / "bin" / "llama-bench"
    if not program.exists():
        program = build_llama(native, ["-DGGML_NATIVE=ON"])
    try:
        run([str(program), "-m", str(trial_model), "-p", "64", "-n", "2", "-r", "1"], timeout=600)
        return program, "native"
    except (Unavailable, subprocess.TimeoutExpired) as error:
        say(f"the native build of llama.cpp failed on a trial run: {error}")
    return build_llama(plain, options_without_amx()), "native but AMX, whose build crashed"


def llama_bench_of(isa):
    """The path of a llama-bench that is built for no more than our `--isa`, and how it was built."""
    folder = PEERS / f"llama-{isa}"
    program = folder / "bin" / "llama-bench"
    if not program.exists():
        build_llama(folder, ggml_options(SAME_ISA[isa]))
    return program, "built for " + ", ".join(SAME_ISA[isa])


def llama_python(trial_model):
    """What the environment of a Python that imports llama_cpp (llama-cpp-python) needs, PYTHON among it."""
    program, _ = llama_bench(trial_model)
    python = venv_python()
    packages = ["numpy", "jinja2", "diskcache", "typing-extensions"]
    run([python, "-m", "pip", "install", "-q"] + packages, log=PEERS / "llama-python.log")
    package = str(llama_source().parents[1])
    return {"PYTHON": python, "PYTHONPATH": package, "LLAMA_CPP_LIB_PATH": str(program.parent)}


class Llama:
    name = "llama.cpp"

    def __init__(self, program, built):
        self.program = str(program)
        self.version = built

    def open(self, model, work):
        return LlamaRun(self, model, work)


class LlamaRun:
    """A process a round: it loads, warms up, measures once."""

    def __init__(self, peer, model, work):
        self.peer = peer
        self.command = [peer.program, "-m", str(model), "-p", str(work.prompt), "-n", str(work.gen)]
        self.command += ["-d", str(work.depth), "-t", str(work.threads), "-r", "1", "-o", "json"]

    def round(self):
        result = {}
        for row in json.loads(run(self.command, timeout=ROUND_LIMIT_S)):
            result["decode_tps" if row["n_gen"] > 0 else "prefill_tps"] = row["avg_ts"]
            result["version"] = row["build_commit"]
        return result

    def close(self):
        pass


# --- OpenVINO GenAI ----------------------------------------------------------------------------------------------


class OpenVino:
    name = "OpenVINO"

    def __init__(self):
        self.python = venv_python()
        have = subprocess.run([self.python, "-c", "import openvino_genai"], capture_output=True)
        if have.returncode != 0:
            say(f"installing {OPENVINO_PACKAGE} from PyPI into build/peers/venv")
            run([self.python, "-m", "pip", "install", OPENVINO_PACKAGE], log=PEERS / "openvino-install.log")
        self.version = run([self.python, "-c", "import openvino_genai as o; print(o.__version__)"]).strip()

    def open(self, model, work):
        if work.depth > 0:
            raise Unavailable("measures at depth 0 only")
        return OpenVinoRun(self, model, work)


class OpenVinoRun:
    """One process for all rounds, because loading takes many seconds; it sleeps while others are measured."""

    def __init__(self, peer, model, work):
        script = pathlib.Path(__file__).with_name("openvino_bench.py")
        command = [peer.python, str(script), str(model), "--prompt", str(work.prompt), "--gen", str(work.gen)]
        command += ["--threads", str(work.threads)]
        self.log = PEERS / "openvino.log"
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
        self.load_ms = self.read()["load_ms"]

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            self.close()
            tail = [t for t in self.log.read_text(errors="replace").splitlines() if t.strip()][-2:]
            raise Unavailable(" ".join(tail)[-300:] or f"ended with {self.process.returncode}")
        return json.loads(line)

    def round(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return self.read()

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def governor():
    try:
        return pathlib.Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").read_text().strip()
    except OSError:
        return "not shown by this machine"


def machine(autoglm):
    facts = json.loads(run([autoglm, "hw", "--no-probe", "--json"]))
    version = json.loads(run([autoglm, "version", "--json"]))
    return {
        "cpu": facts["cpu"],
        "cores": facts["physical_cores"],
        "isa": facts["isa"],
        "features": facts["features"],
        "memory_bytes": facts["memory_total_bytes"],
        "governor": governor(),
        "kernel": os.uname().release,
        "load_average": os.getloadavg()[0],
        "autoglm": f"{version['version']} {version['commit']}",
    }
