#include "cli/bench_sweep.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>

#include "base/output_file.h"
#include "cli/open.h"
#include "cli/sweep_page.h"
#include "model/families/family.h"
#include "tune/child_run.h"
#include "tune/search_space.h"
#include "tune/sweep.h"

namespace autoglm {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMostContext = 32768;  // as a server's, unless --ctx says more

struct Outputs {
  std::optional<fs::path> csv, html;
};

Outputs outputs_of(const Settings& settings) {
  const auto path = settings.text_if("bench.report");
  if (!path) return {};
  Outputs out;
  if (path->ends_with(".csv")) {
    out.csv = *path;
  } else if (path->ends_with(".html")) {
    out.html = *path;
  } else {
    std::error_code error;
    fs::create_directories(*path, error);
    if (error) fail(Code::bad_flag, fmt::format("--report: cannot make {}: {}", *path, error.message()));
    out.csv = fs::path(*path) / "sweep.csv";
    out.html = fs::path(*path) / "sweep.html";
  }
  for (const auto& file : {out.csv, out.html}) {
    if (file) check_output(file->string());  // not after minutes of measuring
  }
  return out;
}

void write_text(const fs::path& path, const std::string& text) {
  OutputFile file(path);
  file.write(std::as_bytes(std::span(text)));
  file.finish();
}

ChildRun child_of(Context& context) {
  const Settings& settings = context.settings();
  ChildRun run;
  if (!settings.text_if("bench.shape")) run.model = model_path(context).string();
  for (const LogicalCpu& cpu : context.machine().allowed) run.cpus.push_back(cpu.cpu);
  run.interrupted = [&context] { return context.interrupt().requested(); };
  return run;
}

int64_t longest_context(Context& context) {
  const Settings& settings = context.settings();
  if (const auto given = settings.integer_if("context")) return *given;
  if (settings.text_if("bench.shape")) return kMostContext / 4;
  return std::min<int64_t>(read_spec(*open_source(context)).train_context, kMostContext);
}

Sweep measure(Context& context, const ChildRun& run, SweepOver over, const SettingWords& common) {
  Sweep sweep{.over = over, .points = {}, .knee = {}, .ended = {}};
  const auto values = sweep_values(over, context.machine(), over == SweepOver::ctx ? longest_context(context) : 0);
  Progress progress = context.progress(fmt::format("sweep over {}", name(over)), std::ssize(values), false);
  for (const int64_t at : values) {
    SettingWords words = common;
    const std::vector<std::string> point = sweep_words(over, at);
    words.insert(words.end(), point.begin(), point.end());
    try {
      sweep.points.push_back(sweep_point(at, bench_in_child(run, words)));
    } catch (const Error& error) {
      const bool full = error.code() == Code::out_of_memory || error.code() == Code::context_exceeded;
      if (!full || sweep.points.empty()) throw;
      sweep.ended = fmt::format("{} {}: {}", name(over), at, error.what());
      break;
    }
    progress.update(std::ssize(sweep.points));
  }
  sweep.knee = knee_of(sweep);
  return sweep;
}

nlohmann::json to_json(const std::vector<Sweep>& sweeps) {
  nlohmann::json out = nlohmann::json::array();
  for (const Sweep& sweep : sweeps) {
    nlohmann::json points = nlohmann::json::array();
    for (const SweepPoint& p : sweep.points) {
      points.push_back({{"at", p.at},
                        {"prefill_tps", p.prefill_tps},
                        {"decode_tps", p.decode_tps},
                        {"step_ms", p.step_ms},
                        {"step_ms_p99", p.step_ms_p99},
                        {"prefill_roof_share", p.prefill_roof_share},
                        {"decode_roof_share", p.decode_roof_share},
                        {"peak_rss_bytes", p.peak_rss_bytes}});
    }
    out.push_back({{"over", name(sweep.over)},
                   {"points", std::move(points)},
                   {"knee", sweep.knee ? nlohmann::json(sweep.points[*sweep.knee].at) : nlohmann::json(nullptr)}});
  }
  return out;
}

}  // namespace

int bench_sweep(Context& context) {
  const Settings& settings = context.settings();
  const std::vector<SweepOver> wanted = parse_sweeps(settings.text("bench.sweep"));
  const Outputs outputs = outputs_of(settings);
  const ChildRun run = child_of(context);
  std::vector<Sweep> sweeps;
  sweeps.reserve(wanted.size());
  for (const SweepOver over : wanted) sweeps.push_back(measure(context, run, over, given_words(settings)));
  const std::string model = settings.text_if("bench.shape").value_or(fs::path(run.model).filename().string());
  if (outputs.csv) write_text(*outputs.csv, sweep_csv(sweeps));
  if (outputs.html) write_text(*outputs.html, sweep_page(sweeps, model, context.machine().model, context.language()));
  if (context.json()) {
    context.print_json({{"sweeps", to_json(sweeps)}, {"model", model}, {"cpu", context.machine().model}});
    return 0;
  }
  for (const Sweep& sweep : sweeps) context.print(sweep_text(sweep, context.language()));
  return 0;
}

}  // namespace autoglm
