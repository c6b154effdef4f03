#include "cli/bench_peer.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/process.h"

namespace autoglm {
namespace {

nlohmann::json middle(std::vector<double> values) {
  if (values.empty()) return nullptr;
  std::ranges::sort(values);
  return (values[(values.size() - 1) / 2] + values[values.size() / 2]) / 2;
}

}  // namespace

Peer::Peer(std::string program, const std::filesystem::path& model, const BenchShape& shape, int threads)
    : program_(std::move(program)) {
  if (std::filesystem::is_directory(model)) {
    fail(Code::bad_flag, "--peer needs a GGUF file", "make one with: autoglm convert MODEL OUT.gguf");
  }
  if (shape.batch != 1) fail(Code::bad_flag, "--peer measures one sequence", "leave out --batch");
  // -r 1: one repetition a call, so that ours and theirs alternate. llama-bench warms up by itself.
  command_ = {program_,
              "-m",
              model.string(),
              "-p",
              std::to_string(shape.prompt),
              "-n",
              std::to_string(shape.gen),
              "-d",
              std::to_string(shape.depth),
              "-t",
              std::to_string(threads),
              "-r",
              "1",
              "-o",
              "json"};
}

void Peer::repeat() {
  const ProcessResult result = run_process(command_);
  const auto refuse = [&](const std::string& why) {
    fail(Code::work_failed, fmt::format("{} {}: {}", program_, why, result.err.substr(0, 400)),
         "--peer takes a llama-bench; bench/compare.py builds one");
  };
  if (result.exit_code != 0) refuse(fmt::format("ended with {}", result.exit_code));
  const nlohmann::json rows = nlohmann::json::parse(result.out, nullptr, false);
  if (!rows.is_array() || rows.empty()) refuse("did not print a list");
  for (const nlohmann::json& row : rows) {
    if (!row.is_object() || !row.contains("avg_ts") || !row["avg_ts"].is_number())
      refuse("printed a row without avg_ts");
    version_ = fmt::format("{}", row.value("build_commit", "unknown"));
    (row.value("n_gen", 0) > 0 ? decode_ : prefill_).push_back(row["avg_ts"].get<double>());
  }
}

nlohmann::json Peer::report() const {
  return {{"name", std::filesystem::path(program_).filename().string()},
          {"version", version_},
          {"prefill_tps", middle(prefill_)},
          {"decode_tps", middle(decode_)}};
}

}  // namespace autoglm
