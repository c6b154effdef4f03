// `autoglm clean`: leftovers of downloads, and caches.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/ledger.h"
#include "cli/commands.h"
#include "cli/model_store.h"

namespace autoglm {
namespace {

int run(Context& context) {
  Store store = open_store(context);
  const bool dry = context.settings().boolean("clean.dry_run");
  const auto removed = store.clean(dry);
  int64_t total = 0;
  nlohmann::json list = nlohmann::json::array();
  std::string text;
  for (const auto& [path, bytes] : removed) {
    total += bytes;
    list.push_back({{"path", path.string()}, {"bytes", bytes}});
    text += fmt::format("{:>10}  {}\n", format_bytes(bytes), path.string());
  }
  if (context.json()) {
    context.print_json({{"removed", list}, {"bytes", total}, {"dry_run", dry}});
  } else {
    context.print(text + fmt::format("{} {}\n", format_bytes(total), dry ? "would be freed" : "freed"));
  }
  return 0;
}

}  // namespace

const Command kClean = {
    .name = "clean",
    .summary = {"remove leftovers of downloads and everything in the cache; models stay",
                "删除下载残留和全部缓存；模型保留"},
    .examples = {{"autoglm clean --dry-run", {"only show what would go", "只显示将删除什么"}}},
    .json_keys = "removed, bytes, dry_run",
    .run = run,
};

}  // namespace autoglm
