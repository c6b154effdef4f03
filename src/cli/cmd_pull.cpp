// `autoglm pull`: a model comes to this machine.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/ledger.h"
#include "cli/commands.h"
#include "cli/model_store.h"

namespace autoglm {
namespace {

int run(Context& context) {
  Store store = open_store(context);
  const StoredModel model = store.pull(context.argument("MODEL"), pull_options(context));
  if (context.json()) {
    context.print_json(
        {{"name", model.name}, {"path", model.path.string()}, {"bytes", model.bytes}, {"sha256", model.sha256}});
  } else {
    context.print(fmt::format("{}  {}  {}\n", model.name, format_bytes(model.bytes), model.path.string()));
  }
  return 0;
}

}  // namespace

const Command kPull = {
    .name = "pull",
    .summary = {"fetch a model: resumed where it stopped, checked by SHA-256", "下载模型：断点续传，并用 SHA-256 校验"},
    .positionals = {{"MODEL",
                     true,
                     {"catalogue name, hf:OWNER/REPO[:QUANT], ms:OWNER/REPO[:QUANT] or https://…",
                      "目录中的名字、hf:OWNER/REPO[:QUANT]、ms:OWNER/REPO[:QUANT] 或 https://…"}}},
    .details =
        {"Without QUANT the best quality that fits the memory limit is taken, and named. HF_ENDPOINT chooses a "
         "mirror of Hugging Face, HF_TOKEN shows who you are; curl's and pip's own settings for proxies, mirrors "
         "and certificates hold.",
         "不写 QUANT 时选择内存上限内质量最好的一个，并说明选了哪个。HF_ENDPOINT 指定 Hugging Face 镜像，HF_TOKEN "
         "表明身份；curl 和 pip 自己的代理、镜像、证书设置照常有效。"},
    .examples = {{"autoglm pull smollm2:135m", {"the small model of the README", "README 中的小模型"}},
                 {"HF_ENDPOINT=https://hf-mirror.com autoglm pull hf:zai-org/glm-edge-1.5b-chat-gguf:Q4_K_M",
                  {"through a mirror", "通过镜像下载"}},
                 {"autoglm pull ms:Qwen/Qwen3-0.6B-GGUF", {"from ModelScope", "从魔搭下载"}}},
    .json_keys = "name, path, bytes, sha256",
    .run = run,
};

}  // namespace autoglm
