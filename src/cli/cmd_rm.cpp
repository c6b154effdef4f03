// `autoglm rm`: a model leaves this machine.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/ledger.h"
#include "cli/commands.h"
#include "cli/model_store.h"

namespace autoglm {
namespace {

int run(Context& context) {
  Store store = open_store(context);
  const StoredModel model = store.remove(context.argument("MODEL"));
  if (context.json()) {
    context.print_json({{"name", model.name}, {"bytes", model.bytes}});
  } else {
    context.print(fmt::format("removed {} ({})\n", model.name, format_bytes(model.bytes)));
  }
  return 0;
}

}  // namespace

const Command kRm = {
    .name = "rm",
    .summary = {"remove a fetched model", "删除已下载的模型"},
    .positionals = {{"MODEL", true, {"a name that `autoglm list` shows", "`autoglm list` 显示的名字"}}},
    .examples = {{"autoglm rm smollm2:135m", {"frees its space on disk", "释放其磁盘空间"}}},
    .json_keys = "name, bytes",
    .run = run,
};

}  // namespace autoglm
