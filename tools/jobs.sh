#!/usr/bin/env bash
# Prints how many compilers may run at once: one a core, but each needs about 1.2 GB.
cores=$(nproc)
by_memory=$(awk '/^MemAvailable:/ {print int($2 / 1258291)}' /proc/meminfo 2>/dev/null)
jobs=${by_memory:-$cores}
[ "$jobs" -le "$cores" ] || jobs=$cores
[ "$jobs" -ge 1 ] || jobs=1
echo "$jobs"
