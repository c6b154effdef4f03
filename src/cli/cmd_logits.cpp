// logits: the model's numbers, for oracles and experiments.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/output_file.h"
#include "cli/commands.h"
#include "cli/open.h"
#include "cli/score.h"

namespace autoglm {
namespace {

// NumPy's format, version 1.0: magic, header length, a Python dict, padded to 64 bytes; then little-endian float32.
std::string npy_header(int64_t positions, int64_t vocabulary) {
  static_assert(std::endian::native == std::endian::little);
  std::string dict =
      fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", positions, vocabulary);
  dict.append(63 - (10 + dict.size()) % 64, ' ');
  dict += '\n';
  std::string header("\x93NUMPY\x01\x00", 8);
  header += static_cast<char>(dict.size() & 0xff);
  header += static_cast<char>(dict.size() >> 8);
  return header + dict;
}

// Written by hand: millions of numbers need no tree in memory. Shortest form that reads back as the same float.
void print_rows(const Context& context, const std::vector<float>& values, int64_t positions, int64_t vocabulary) {
  std::string text = fmt::format(R"({{"vocab_size":{},"positions":{},"logits":[)", vocabulary, positions);
  for (int64_t p = 0; p < positions; ++p) {
    text += p == 0 ? "[" : ",[";
    for (int64_t i = 0; i < vocabulary; ++i) {
      fmt::format_to(std::back_inserter(text), "{}{}", i == 0 ? "" : ",",
                     values[static_cast<size_t>(p * vocabulary + i)]);
    }
    text += "]";
    context.print(text);
    text.clear();
  }
  context.print(text + "]}\n");
}

void print_best(const Context& context, std::span<const float> row, int64_t position) {
  std::vector<int32_t> order(row.size());
  std::iota(order.begin(), order.end(), 0);
  const auto count = std::min<int64_t>(5, static_cast<int64_t>(row.size()));
  std::partial_sort(order.begin(), order.begin() + count, order.end(), [&](int32_t a, int32_t b) {
    const float x = row[static_cast<size_t>(a)];
    const float y = row[static_cast<size_t>(b)];
    return x > y || (x == y && a < b);
  });
  std::string line = fmt::format("{}:", position);
  for (int64_t i = 0; i < count; ++i) {
    const int32_t id = order[static_cast<size_t>(i)];
    line += fmt::format("  {} {:.4f}", id, row[static_cast<size_t>(id)]);
  }
  context.print(line + "\n");
}

int run(Context& context) {
  const Settings& settings = context.settings();
  if (!settings.is_set("logits.tokens") || settings.ids("logits.tokens").empty()) {
    fail(Code::bad_flag, "no tokens were given", "--tokens 1,2,3");
  }
  const std::vector<int64_t>& given = settings.ids("logits.tokens");
  const std::vector<int32_t> tokens(given.begin(), given.end());
  const auto count = static_cast<int64_t>(tokens.size());
  const std::optional<std::string> out = settings.text_if("logits.out");
  if (out) check_output(*out);
  const int64_t last = std::min(count, settings.integer_if("logits.last").value_or(count));
  LoadOptions options = scoring_options(load_options(context), count, last);
  const std::unique_ptr<OpenedModel> opened = open_and_load(context, options, false, count);
  const int64_t vocabulary = opened->model->spec().vocabulary;
  check_tokens(tokens, vocabulary);

  const auto row_ok = [](std::span<const float> row) {
    for (const float value : row) {
      if (!std::isfinite(value)) {
        fail(Code::numeric, "the model computed a logit that is not a finite number",
             "the weights may be damaged: check the file's hash, or try --precision f32");
      }
    }
  };
  Progress progress = context.progress("computing", count, false);
  const auto on_chunk = [&](int64_t done) {
    progress.update(done);
    context.interrupt().check();
  };
  if (out) {
    OutputFile file(*out);
    const std::string header = npy_header(last, vocabulary);
    file.write(std::as_bytes(std::span(header)));
    score(*opened->model, tokens, count - last, on_chunk, [&](int64_t, std::span<const float> row) {
      row_ok(row);
      file.write(std::as_bytes(row));
    });
    file.finish();
    if (context.json()) context.print_json({{"vocab_size", vocabulary}, {"positions", last}, {"out", *out}});
    return 0;
  }
  std::vector<float> values;
  const bool keep = context.json();
  const Reservation memory(*opened->runtime.ledger, MemoryLine::activations, keep ? last * vocabulary * 4 : 0,
                           "the logits to print");
  if (keep) values.reserve(static_cast<size_t>(last * vocabulary));
  score(*opened->model, tokens, count - last, on_chunk, [&](int64_t position, std::span<const float> row) {
    row_ok(row);
    if (keep) {
      values.insert(values.end(), row.begin(), row.end());
    } else {
      print_best(context, row, position);
    }
  });
  if (keep) print_rows(context, values, last, vocabulary);
  return 0;
}

}  // namespace

const Command kLogits = {
    .name = "logits",
    .summary = {"logits of a sequence of token ids", "计算 token 序列的 logits"},
    .positionals = {{.name = "MODEL", .required = true, .help = {"the model", "模型"}}},
    .details = {"Needs no tokenizer. Without --json and --out the five best tokens of each position are shown.",
                "不需要分词器。没有 --json 和 --out 时显示每个位置最好的五个 token。"},
    .examples = {{"autoglm logits model.gguf --tokens 1,2,3 --json", {"all numbers", "全部数值"}},
                 {"autoglm logits model.gguf --tokens 1,2,3 --last 1 --out last.npy", {"for NumPy", "供 NumPy 使用"}}},
    .json_keys = "vocab_size, positions, logits[[...]]",
    .run = run,
};

}  // namespace autoglm
