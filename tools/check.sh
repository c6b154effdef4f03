#!/usr/bin/env bash
# The long check, run by hand before an issue is called done: format, full clang-tidy, then every test under the address
# and undefined-behaviour sanitizers and the C++ tests under the thread sanitizer; then other people's programs that read
# what ours writes and says.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/setup.sh check
tools/fetch_test_data.sh
jobs=$(tools/jobs.sh)
tools/format.sh
tools/lint.sh --all
export ASAN_OPTIONS=detect_stack_use_after_return=1:allocator_may_return_null=1
export UBSAN_OPTIONS=print_stacktrace=1 TSAN_OPTIONS=halt_on_error=1
for preset in asan tsan; do
  cmake --preset $preset >/dev/null
  cmake --build --preset $preset -j "$jobs"
  ctest --test-dir build/$preset --output-on-failure -j "$jobs" -LE release
done
# The official clients, unmodified, against the release build.
cmake --preset release -DAUTOGLM_TESTS=ON >/dev/null
cmake --build --preset release -j "$jobs" --target autoglm
[ -x build/sdk-venv/bin/python ] || python3 -m venv build/sdk-venv
build/sdk-venv/bin/pip -q --disable-pip-version-check install openai anthropic ollama opentelemetry-proto
build/sdk-venv/bin/python tests/server/sdk_test.py build/bin/autoglm build/oracle/smollm2-135m-q4_1.gguf
build/sdk-venv/bin/python tests/server/otlp_test.py build/bin/autoglm build/oracle/smollm2-135m-q4_1.gguf
python3 tests/server/pprof_test.py build/bin/autoglm build/oracle/smollm2-135m-q4_1.gguf
# What `quantize` writes, read by llama-cpp-python.
python3 tests/compress/llama_test.py build/bin/autoglm build/oracle/smollm2-135m-q4_1.gguf
# The files of deploy/, by those who read them: systemd, and Prometheus' own checker, unpacked beside the build.
unit=$(mktemp -d)
sed "s|^ExecStart=/usr/local/bin/|ExecStart=$PWD/build/bin/|" deploy/autoglm.service >"$unit/autoglm.service"
systemd-analyze verify --man=no "$unit/autoglm.service"
build/bin/autoglm config --config deploy/autoglm.yaml >"$unit/settings.yaml"
rm -r "$unit"
if [ ! -x build/promtool/usr/bin/promtool ]; then
  mkdir -p build/promtool
  (cd build/promtool && apt-get -q download prometheus && dpkg-deb -x prometheus_*.deb .)
fi
build/promtool/usr/bin/promtool check rules deploy/prometheus/alerts.yaml
build/promtool/usr/bin/promtool check config --syntax-only deploy/prometheus/prometheus.yaml
# The web page, in a browser.
python3 tests/server/page_test.py build/bin/autoglm build/oracle/smollm2-135m-q4_1.gguf
echo "check: all clean"
