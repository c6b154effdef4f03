// convert: any model that loads, as a GGUF file that llama.cpp reads.
#include <fmt/format.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "base/output_file.h"
#include "cli/commands.h"
#include "cli/open.h"
#include "model/convert.h"
#include "text/tokenizer_export.h"

namespace autoglm {
namespace {

// The type that holds most of the source's bytes, if it is one of the three; a quantized source becomes F16.
Type type_of(const Context& context, const ModelSource& source) {
  const std::string wanted = context.settings().text_if("convert.type").value_or("auto");
  if (const std::optional<Type> type = type_from_name(wanted)) return *type;
  std::map<Type, size_t> bytes;
  for (const TensorEntry& tensor : source.tensors()) bytes[tensor.type] += tensor.data.size();
  Type most = Type::f16;
  for (const auto& [type, size] : bytes) {
    if (size > bytes[most]) most = type;
  }
  const bool plain = most == Type::f32 || most == Type::f16 || most == Type::bf16;
  const Type type = plain ? most : Type::f16;
  context.note(fmt::format("type: {} ({})", info(type).name, plain ? "as in the source" : "the source is quantized"));
  return type;
}

int run(Context& context) {
  const std::filesystem::path out = context.argument("OUT");
  const std::shared_ptr<const ModelSource> source = open_source(context);
  std::error_code ignored;
  for (const std::filesystem::path& file : source->files()) {
    if (std::filesystem::equivalent(file, out, ignored)) {
      fail(Code::bad_flag, fmt::format("{} is a file of the model itself", out.string()), "give another name");
    }
  }
  check_output(out);
  ConvertOptions options;
  options.type = type_of(context, *source);
  if (source->container() == Container::safetensors) options.tokenizer = tokenizer_metadata(*source);
  Progress progress = context.progress("writing", 0, true);
  options.progress = [&](int64_t done, int64_t total) {
    progress.set_total(total);
    progress.update(done);
    context.interrupt().check();
  };
  const int64_t bytes = convert_model(*source, out, options);
  if (context.json()) {
    context.print_json({{"bytes", bytes}, {"path", out.string()}, {"type", info(options.type).name}});
  } else {
    context.print(fmt::format("{}: {}\n", out.string(), format_bytes(bytes)));
  }
  return 0;
}

}  // namespace

const Command kConvert = {
    .name = "convert",
    .summary = {"write a model as GGUF (F32, F16 or BF16)", "把模型写成 GGUF（F32、F16 或 BF16）"},
    .positionals = {{.name = "MODEL", .required = true, .help = {"the model", "模型"}},
                    {.name = "OUT", .required = true, .help = {"the file to write", "输出文件"}}},
    .details =
        {"The file has llama.cpp's names and is read by it too. It appears under its name only when it is whole.",
         "文件使用 llama.cpp 的命名，llama.cpp 也能读取。写完整后才会以该名称出现。"},
    .examples = {{"autoglm convert GLM-4-9B-0414/ glm.gguf --type bf16", {"from safetensors", "从 safetensors 转换"}}},
    .json_keys = "bytes",
    .run = run,
};

}  // namespace autoglm
