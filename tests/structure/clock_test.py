"""A clock that jumps (an administrator, NTP, a machine that slept) changes no deadline, time limit, rate or order.

What waits or measures may know only clocks that never go back. The wall clock is for people: timestamps in answers, logs,
traces and templates, each in a file of its own that waits for nothing.
"""
import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parents[2]
source = root / "src"
WALL = re.compile(r"system_clock|high_resolution_clock|CLOCK_REALTIME\b|\bgettimeofday\b|\btime\((nullptr|NULL|0)\)"
                  r"|\butc_clock|file_clock|boost/asio/(deadline_timer|system_timer)")
# Layers and files in which anything waits, measures or limits.
LAYERS = ("base", "hw", "format", "kernels", "model", "engine")
FILES = ("server/http_*", "server/server.*", "server/service.*", "server/exchange.*", "server/helper.*", "server/admission.*",
         "server/engine_loop.*", "server/rate_limit.*", "server/api_keys.*", "server/metrics.*", "store/prefix_*",
         "store/segment_*")
TELLS = ("base/cpu_profiler.cpp",)  # when a profile was taken


def main() -> int:
    files = [file for layer in LAYERS for file in (source / layer).rglob("*") if file.suffix in (".h", ".cpp")]
    for pattern in FILES:
        found = [file for file in source.glob(pattern) if file.suffix in (".h", ".cpp")]
        if not found:
            print(f"nothing matches src/{pattern}")
            return 1
        files += found
    files = [file for file in files if str(file.relative_to(source)) not in TELLS]
    faults = [f"{file.relative_to(root)}:{number}: a clock that may jump: {line.strip()}" for file in sorted(files)
              for number, line in enumerate(file.read_text().splitlines(), 1) if WALL.search(line.split("//")[0])]
    print("\n".join(faults) or f"{len(files)} files know no clock that jumps")
    return 1 if faults else 0


sys.exit(main())
