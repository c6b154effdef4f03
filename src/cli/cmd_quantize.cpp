// quantize: a full-precision model as a GGUF of smaller types.
#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/output_file.h"
#include "cli/commands.h"
#include "cli/open.h"
#include "compress/calibration.h"
#include "compress/imatrix.h"
#include "compress/quantize.h"
#include "compress/sensitivity.h"
#include "store/sha256.h"
#include "text/tokenizer_export.h"

namespace autoglm {
namespace {

struct Calibration {
  std::string from;  // "text", "chats" or "model"
  std::string file;  // empty: what the model wrote
  std::string sha256;
  Windows windows;

  std::string words() const {
    return fmt::format("calibration: {} windows of {} tokens from {}", windows.size(), windows.front().size(),
                       from == "model" ? "text that the model wrote itself" : file);
  }
};

Calibration read_calibration(Context& context, const std::shared_ptr<const ModelSource>& source, Runtime& runtime) {
  Calibration out;
  const CalibrationShape shape{.windows = context.settings().integer("quantize.windows"),
                               .length = context.settings().integer("quantize.window")};
  const std::unique_ptr<Tokenizer> tokenizer = open_tokenizer(*source);
  if (const auto file = context.settings().text_if("quantize.calibration")) {
    out.file = *file;
    const std::string text = read_text(out.file);
    check_utf8(text, out.file);
    out.sha256 = sha256_text(text);
    out.from = out.file.ends_with(".jsonl") ? "chats" : "text";
    out.windows = file_windows(*tokenizer, *source, text, out.file, shape);
  } else {
    out.from = "model";
    Progress progress = context.progress("writing a text to calibrate with", 0, false);
    out.windows = own_windows(
        source, runtime, *tokenizer, load_chat_model(*source, *tokenizer), shape, [&] { context.interrupt().check(); },
        [&](int64_t done, int64_t total) {
          progress.set_total(total);
          progress.update(done);
        });
    std::string bytes;
    for (const auto& window : out.windows) {
      bytes.append(reinterpret_cast<const char*>(window.data()), window.size() * sizeof(int32_t));
    }
    out.sha256 = sha256_text(bytes);
  }
  context.note(out.words());
  return out;
}

// What the user says should be written; nothing where a size is given and the types are to be found.
std::optional<Recipe> read_recipe(const Context& context) {
  const Settings& settings = context.settings();
  const auto file = settings.text_if("quantize.recipe");
  const auto type = settings.text_if("quantize.type");
  const auto bits = settings.real_if("quantize.bits");
  const auto bytes = settings.bytes_if("quantize.max_bytes");
  const int given = file.has_value() + type.has_value() + bits.has_value() + bytes.has_value();
  if (given != 1) {
    fail(Code::bad_flag, given == 0 ? "quantize needs to know what to write" : "more than one flag says what to write",
         "give one of --type, --recipe, --bits and --max-bytes");
  }
  if (file) return parse_recipe(read_text(*file));
  if (type) return recipe_of_name(*type);
  return std::nullopt;
}

std::filesystem::path work_folder(const Context& context) { return context.argument("OUT") + ".work"; }

// Where measured costs are kept: beside finished tensors, unless the user wants them for other sizes too.
std::filesystem::path costs_file(const Context& context) {
  const auto given = context.settings().text_if("quantize.costs");
  return given ? std::filesystem::path(*given) : work_folder(context) / "costs.json";
}

// Types for a size, by measurement. The recipe is written beside the model, to be read and given back.
Recipe find_recipe(Context& context, const ModelSource& source, Runtime& runtime, const QuantizeOptions& options) {
  Progress progress = context.progress("measuring", 0, false);
  SensitivityOptions measure;
  measure.windows = options.windows;
  measure.file = costs_file(context);
  measure.check = options.check;
  measure.progress = [&](std::string_view, int64_t done, int64_t total) {
    progress.set_total(total);
    progress.update(done);
  };
  const std::vector<TensorCost> costs = measure_sensitivity(source, runtime, measure);
  int64_t values = 0;
  for (const TensorCost& tensor : costs) values += tensor.values;
  const auto bytes = context.settings().bytes_if("quantize.max_bytes");
  const auto budget =
      bytes ? *bytes - bytes_beside(source, costs, options.tokenizer)
            : static_cast<int64_t>(*context.settings().real_if("quantize.bits") * static_cast<double>(values) / 8);
  Recipe recipe = choose_recipe(costs, budget);
  recipe.scaling = options.scaling;
  const std::string path = context.argument("OUT") + ".recipe.yaml";
  const std::string text = recipe.yaml();
  OutputFile file(path);
  file.write(std::as_bytes(std::span(text)));
  file.finish();
  context.note(fmt::format("recipe: {}", path));
  return recipe;
}

QuantizeMethod read_method(const Context& context) {
  const std::string wanted = context.settings().text_if("quantize.method").value_or("auto");
  const bool imatrix = context.settings().text_if("quantize.imatrix").has_value();
  if (imatrix && context.settings().text_if("quantize.calibration")) {
    fail(Code::bad_flag, "--calib and --imatrix both say what matters", "give one of them");
  }
  if (imatrix && wanted == "auto") return QuantizeMethod::importance;
  // AWQ: rounding to the nearest, of channels that were scaled for it.
  const bool importance = wanted == "importance" || wanted == "awq";
  if (imatrix && !importance) {
    fail(Code::bad_flag, "--imatrix is for --method importance and awq", "use --calib TEXT for gptq");
  }
  if (wanted == "rtn") return QuantizeMethod::rtn;
  if (importance) return QuantizeMethod::importance;
  return QuantizeMethod::gptq;
}

// None unless somebody says so. A recipe may say what it was made with.
Scaling read_scaling(const Context& context, const std::optional<Recipe>& recipe) {
  const Settings& settings = context.settings();
  std::optional<Scaling> out;
  const auto say = [&](std::string_view who, std::optional<Scaling> what) {
    if (what && out && *what != *out) {
      fail(Code::bad_flag, fmt::format("{} says scaling {}, another flag says {}", who, name(*what), name(*out)),
           "leave --scaling out");
    }
    if (what) out = what;
  };
  say("--scaling", scaling_from_name(settings.text_if("quantize.scaling").value_or("auto")));
  if (recipe) say("the recipe", recipe->scaling);
  if (settings.text_if("quantize.method").value_or("auto") == "awq") say("--method awq", Scaling::awq);
  return out.value_or(Scaling::none);
}

nlohmann::json report_of(const QuantizeResult& result, const QuantizeOptions& options, const Calibration& calibration) {
  nlohmann::json tensors = nlohmann::json::array();
  for (const QuantizedTensor& row : result.tensors) {
    nlohmann::json entry = {
        {"name", row.name}, {"type", info(row.type).name}, {"bytes", row.bytes}, {"method", name(row.method)}};
    if (row.wanted != row.type) entry["wanted"] = info(row.wanted).name;
    tensors.push_back(std::move(entry));
  }
  nlohmann::json report = {
      {"method", name(options.method)}, {"tensors", std::move(tensors)}, {"resumed", result.resumed}};
  report["scaling"] = {{"mode", name(options.scaling)}, {"scaled", result.scaled}, {"sites", result.sites}};
  if (!calibration.windows.empty()) {
    report["calibration"] = {{"from", calibration.from},
                             {"file", calibration.file},
                             {"sha256", calibration.sha256},
                             {"windows", calibration.windows.size()},
                             {"window", calibration.windows.front().size()}};
  }
  return report;
}

// What did not become what the recipe says, a line a pair of types.
void note_fallbacks(const Context& context, const QuantizeResult& result) {
  std::map<std::pair<Type, Type>, std::pair<int, int64_t>> pairs;
  for (const QuantizedTensor& row : result.tensors) {
    if (row.wanted == row.type) continue;
    auto& [count, bytes] = pairs[{row.wanted, row.type}];
    ++count;
    bytes += row.bytes;
  }
  for (const auto& [types, sums] : pairs) {
    context.note(fmt::format("{} tensors have no rows of {} columns for {}: {} instead, {}", sums.first,
                             info(types.first).block_columns, info(types.first).name, info(types.second).name,
                             format_bytes(sums.second)));
  }
}

int run(Context& context) {
  const std::filesystem::path out = context.argument("OUT");
  QuantizeOptions options;
  const std::optional<Recipe> recipe = read_recipe(context);
  const std::shared_ptr<const ModelSource> source = open_source(context);
  std::error_code ignored;
  for (const std::filesystem::path& file : source->files()) {
    if (std::filesystem::equivalent(file, out, ignored)) {
      fail(Code::bad_flag, fmt::format("{} is a file of the model itself", out.string()), "give another name");
    }
  }
  check_output(out);
  options.method = read_method(context);
  options.requantize = context.settings().boolean("quantize.requantize");
  if (!options.requantize) refuse_quantized(*source);  // before a text is read or written for it
  options.work = work_folder(context);
  Runtime runtime = open_runtime(context);
  Calibration calibration;
  const bool imatrix = context.settings().text_if("quantize.imatrix").has_value();
  options.scaling = read_scaling(context, recipe);
  const bool measures = options.method != QuantizeMethod::rtn || options.scaling != Scaling::none;
  if (!recipe || (measures && !imatrix)) {
    calibration = read_calibration(context, source, runtime);
  }
  options.windows = calibration.windows;
  if (const auto file = context.settings().text_if("quantize.imatrix")) options.importance = read_imatrix(*file);
  if (source->container() == Container::safetensors) options.tokenizer = tokenizer_metadata(*source);
  options.check = [&] { context.interrupt().check(); };
  Progress progress = context.progress(std::string(name(options.method)), 0, false);
  options.progress = [&](std::string_view, int64_t done, int64_t total) {
    progress.set_total(total);
    progress.update(done);
  };
  options.recipe = recipe ? *recipe : find_recipe(context, *source, runtime, options);
  note_fallbacks(context, plan_quantize(*source, options));
  const QuantizeResult result = quantize_model(*source, runtime, out, options);
  std::filesystem::remove(work_folder(context) / "costs.json", ignored);
  std::filesystem::remove(work_folder(context), ignored);
  if (context.json()) {
    context.print_json({{"bytes", result.bytes},
                        {"bits_per_weight", result.bits_per_weight},
                        {"path", out.string()},
                        {"report", report_of(result, options, calibration)}});
  } else {
    context.print(fmt::format("{}: {}, {:.2f} bits a weight\n", out.string(), format_bytes(result.bytes),
                              result.bits_per_weight));
  }
  return 0;
}

}  // namespace

const Command kQuantize = {
    .name = "quantize",
    .summary = {"make a model smaller: store its weights in fewer bits", "压缩模型：用更少的位数存储权重"},
    .positionals = {{.name = "MODEL", .required = true, .help = {"a BF16, F16 or F32 model", "BF16、F16 或 F32 模型"}},
                    {.name = "OUT", .required = true, .help = {"the GGUF file to write", "输出的 GGUF 文件"}}},
    .details =
        {"The file is standard GGUF that llama.cpp loads too. With --calib the rounding errors of each layer are made "
         "up for where they matter (GPTQ); an interrupted run goes on where it stopped. docs/OPTIMIZE.md says more.",
         "输出是标准 GGUF，llama.cpp 也能加载。给出 --calib 时，会在重要之处补偿每层的舍入误差（GPTQ）；"
         "中断后再次运行会从停下的地方继续。详见 docs/OPTIMIZE.zh.md。"},
    .examples = {{"autoglm quantize model-bf16.gguf model-q4.gguf --type Q4_0", {"round to nearest", "就近取整"}},
                 {"autoglm quantize model-bf16.gguf model-q4.gguf --type IQ4_NL --calib text.txt",
                  {"GPTQ, calibrated on a text", "用文本校准的 GPTQ"}}},
    .json_keys = "bytes, bits_per_weight, report",
    .run = run,
};

}  // namespace autoglm
