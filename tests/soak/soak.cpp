// A soak: many short requests of every kind on a tiny model, and memory that stays flat. `make soak` runs it under the
// address sanitizer.
//   soak [--requests 100000] [--clients 4]      exit code 1: a wrong answer, or memory that grows
#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "server/load.h"
#include "server/tiny_server.h"
#include "support/temporary_folder.h"

namespace {

using namespace autoglm;

double resident_mib() {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("VmRSS:")) return std::atof(line.c_str() + 6) / 1024;
  }
  return 0;
}

struct Sample {
  double requests = 0;
  double mib = 0;
};

// MiB in a thousand requests, by least squares over the samples from `first` on.
double slope(const std::vector<Sample>& samples, size_t first) {
  double n = 0, x = 0, y = 0, xx = 0, xy = 0;
  for (size_t i = first; i < samples.size(); ++i) {
    const double requests = samples[i].requests / 1000;
    n += 1;
    x += requests;
    y += samples[i].mib;
    xx += requests * requests;
    xy += requests * samples[i].mib;
  }
  const double spread = n * xx - x * x;
  return spread == 0 ? 0 : (n * xy - x * y) / spread;
}

int64_t option(int argc, char** argv, std::string_view name, int64_t otherwise) {
  for (int i = 1; i + 1 < argc; ++i) {
    if (argv[i] == name) return std::atoll(argv[i + 1]);
  }
  return otherwise;
}

// One part of the soak: every client asks `each` times.
void run_part(test::MixedLoad& load, int64_t clients, int64_t each, uint32_t part) {
  std::vector<std::thread> threads;
  for (int64_t i = 0; i < clients; ++i) {
    threads.emplace_back([&load, each, seed = part * 1000 + static_cast<uint32_t>(i)] { load.run(seed, each); });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace

int main(int argc, char** argv) {
  constexpr int64_t kParts = 40;
  constexpr size_t kWarm = kParts / 4;  // until caches, pools and the sanitizer's quarantine are full
  constexpr double kMostSlope = 0.1;    // MiB in a thousand requests: 100 bytes in one
  const int64_t requests = option(argc, argv, "--requests", 100000);
  const int64_t clients = option(argc, argv, "--clients", 4);
  const int64_t each = std::max<int64_t>(1, requests / kParts / clients);

  const test::TemporaryFolder folder;
  test::TinySetup setup;
  setup.prefixes = folder / "prefixes";
  setup.disk_says = [](const std::string& text) { fmt::print("disk: {}\n", text); };
  test::TinyServer server(std::move(setup));
  test::MixedLoad load(server.port());
  load.learn();

  const auto begin = std::chrono::steady_clock::now();
  std::vector<Sample> samples;
  for (uint32_t part = 0; part < kParts; ++part) {
    run_part(load, clients, each, part);
    samples.push_back({.requests = static_cast<double>((part + 1) * clients * each), .mib = resident_mib()});
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    fmt::print("{:>7.0f} requests  {:>6.0f} s  {:>7.1f} MiB\n", samples.back().requests, seconds, samples.back().mib);
    std::fflush(stdout);
  }
  const test::LoadCounts counts = load.counts();
  const double grows = slope(samples, kWarm);
  fmt::print("{} asked, {} answered as alone, {} refused as they should be, {} wrong\n", counts.asked, counts.answered,
             counts.refused, counts.wrong.size());
  fmt::print("memory after warm-up: {:+.4f} MiB in a thousand requests ({} allowed)\n", grows, kMostSlope);
  for (const std::string& wrong : counts.wrong) fmt::print("WRONG: {}\n", wrong);
  return counts.wrong.empty() && grows < kMostSlope ? 0 : 1;
}
