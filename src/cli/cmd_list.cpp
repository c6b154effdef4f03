// `autoglm list`: the models that are here; with --available those that could come, and whether they would fit.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/ledger.h"
#include "base/pool.h"
#include "cli/commands.h"
#include "cli/display.h"
#include "cli/model_store.h"
#include "kernels/probe.h"

namespace autoglm {
namespace {

// Weights are read once a token, so bandwidth over bytes is the roof; small machines reach about this share of it.
constexpr double kReachedShare = 0.6;
// Beside the weights: KV cache, activations and the program, for a short conversation.
constexpr int64_t kBesideWeights = int64_t{300} << 20;

struct Offer {
  const CatalogueEntry* entry = nullptr;
  bool fits = false;
  double predicted_tps = 0;
};

std::vector<Offer> offers(const Context& context) {
  WorkerPool pool({.threads = static_cast<int>(context.settings().integer("runtime.threads")), .cpus = {}});
  const double read_gbps = probe_roofs(pool, "auto", [&] { context.interrupt().check(); }).read_gbps_small;
  const int64_t limit = memory_limit(context);
  std::vector<Offer> all;
  for (const CatalogueEntry& entry : catalogue()) {
    const auto bytes = static_cast<double>(entry.bytes);
    all.push_back(
        {&entry, entry.bytes + entry.bytes / 10 + kBesideWeights <= limit, kReachedShare * read_gbps * 1e9 / bytes});
  }
  return all;
}

std::string joined(const std::vector<std::string>& words) { return fmt::format("{}", fmt::join(words, " ")); }

std::string padded(const std::string& text, int columns) {
  return text + std::string(static_cast<size_t>(std::max(1, columns - display_width(text))), ' ');
}

int show_available(const Context& context) {
  const std::vector<Offer> all = offers(context);
  if (context.json()) {
    nlohmann::json models = nlohmann::json::array();
    for (const Offer& offer : all) {
      models.push_back({{"name", offer.entry->name},
                        {"title", offer.entry->title},
                        {"languages", offer.entry->languages},
                        {"licence", offer.entry->licence},
                        {"must_accept", offer.entry->must_accept},
                        {"quant", offer.entry->quant},
                        {"bytes", offer.entry->bytes},
                        {"fits", offer.fits},
                        {"predicted_decode_tps", offer.predicted_tps}});
    }
    context.print_json({{"models", models}});
    return 0;
  }
  const bool zh = context.language() == Language::zh;
  std::string text = padded(zh ? "名字" : "NAME", 16) + padded(zh ? "类型" : "TYPE", 8) +
                     padded(zh ? "大小" : "SIZE", 11) + padded(zh ? "放得下" : "FITS", 8) +
                     padded(zh ? "预测速度" : "PREDICTED", 14) + padded(zh ? "语言" : "LANGUAGES", 12) +
                     (zh ? "许可证" : "LICENCE") + "\n";
  for (const Offer& offer : all) {
    const CatalogueEntry& entry = *offer.entry;
    text += padded(entry.name, 16) + padded(entry.quant, 8) + padded(format_bytes(entry.bytes), 11) +
            padded(offer.fits ? (zh ? "是" : "yes") : (zh ? "否" : "no"), 8) +
            padded(fmt::format("{:.3g} tok/s", offer.predicted_tps), 14) + padded(joined(entry.languages), 12) +
            entry.licence + (entry.must_accept ? (zh ? "（须接受）" : " (to be accepted)") : "") + "\n";
  }
  context.print(text);
  return 0;
}

/// The three best that fit, are not here yet, and answer at reading speed, largest first; those that speak Chinese
/// first in Chinese.
int suggest(const Context& context) {
  constexpr double kReadingSpeed = 5.0;  // tokens a second
  std::vector<Offer> all = offers(context);
  const Store store = open_store(context);
  std::erase_if(all, [&](const Offer& offer) { return !offer.fits || store.find(offer.entry->name).has_value(); });
  const bool zh = context.language() == Language::zh;
  const auto speaks = [&](const Offer& offer) {
    const auto& languages = offer.entry->languages;
    return zh && std::find(languages.begin(), languages.end(), "zh") != languages.end();
  };
  std::sort(all.begin(), all.end(), [&](const Offer& a, const Offer& b) {
    if (speaks(a) != speaks(b)) return speaks(a);
    const bool quick_a = a.predicted_tps >= kReadingSpeed;
    const bool quick_b = b.predicted_tps >= kReadingSpeed;
    if (quick_a != quick_b) return quick_a;
    if (a.entry->bytes != b.entry->bytes) return quick_a == (a.entry->bytes > b.entry->bytes);
    return a.entry->name < b.entry->name;
  });
  if (all.size() > 3) all.resize(3);
  if (context.json()) {
    nlohmann::json commands = nlohmann::json::array();
    for (const Offer& offer : all) commands.push_back("autoglm run " + offer.entry->name);
    context.print_json({{"suggestions", commands}});
    return 0;
  }
  std::string text = zh ? "这台机器上还可以试试：\n" : "Better models that fit this machine:\n";
  for (const Offer& offer : all) {
    text += "  " + padded("autoglm run " + offer.entry->name, 30) +
            fmt::format("# {}, {}, {} {:.2g} tok/s\n", offer.entry->title, format_bytes(offer.entry->bytes),
                        zh ? "约" : "about", offer.predicted_tps);
  }
  context.print(text);
  return 0;
}

int run(Context& context) {
  if (context.settings().boolean("list.suggest")) return suggest(context);
  if (context.settings().boolean("list.available")) return show_available(context);
  const Store store = open_store(context);
  const std::vector<StoredModel> models = store.list();
  if (context.json()) {
    nlohmann::json list = nlohmann::json::array();
    for (const StoredModel& model : models) {
      list.push_back({{"name", model.name},
                      {"path", model.path.string()},
                      {"bytes", model.bytes},
                      {"sha256", model.sha256},
                      {"licence", model.licence}});
    }
    context.print_json({{"models", list}});
    return 0;
  }
  if (models.empty()) context.note("no model is here yet: autoglm list --available shows what there is");
  std::string text;
  for (const StoredModel& model : models) {
    text += padded(model.name, 40) + padded(format_bytes(model.bytes), 11) + model.path.string() + "\n";
  }
  context.print(text);
  return 0;
}

}  // namespace

const Command kList = {
    .name = "list",
    .summary = {"the models on this machine, or those that could come", "本机已有的模型，或可以下载的模型"},
    .details =
        {"--available shows the catalogue with size, licence, whether it fits in memory here, and the speed that "
         "this machine's measured read bandwidth lets expect.",
         "--available 显示目录：大小、许可证、本机内存能否放下，以及根据实测读带宽预测的速度。"},
    .examples = {{"autoglm list --available", {"what there is", "有哪些模型"}},
                 {"autoglm list --suggest", {"the three best that fit here", "本机放得下的最好的三个"}}},
    .json_keys = "models[{name, path, bytes, sha256}]",
    .run = run,
};

}  // namespace autoglm
