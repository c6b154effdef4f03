#include "cli/model_store.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <memory>
#include <optional>

#include "base/error.h"
#include "base/ledger.h"

namespace autoglm {
namespace {

/// A yes or no from the terminal; anything but y or yes is no.
bool ask_terminal(const std::string& question) {
  std::cerr << question << " [y/N] " << std::flush;
  std::string answer;
  if (!std::getline(std::cin, answer)) return false;
  return answer == "y" || answer == "Y" || answer == "yes";
}

bool at_terminal() { return isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1; }

}  // namespace

Places user_places(const Context& context) {
  const Settings& settings = context.settings();
  return find_places(settings.text_if("cache.dir").value_or(""), settings.text_if("home").value_or(""));
}

std::optional<std::filesystem::path> cache_folder(const Context& context) {
  const Settings& settings = context.settings();
  return find_cache(settings.text_if("cache.dir").value_or(""), settings.text_if("home").value_or(""));
}

Store open_store(const Context& context) { return Store(user_places(context)); }

int64_t memory_limit(const Context& context) {
  if (const auto given = context.settings().bytes_if("runtime.memory_limit")) return *given;
  return context.machine().memory_limit.value_or(context.machine().memory_total);
}

PullOptions pull_options(const Context& context) {
  PullOptions options;
  options.memory_limit = memory_limit(context);
  options.accept_licence = context.settings().boolean("store.accept_license");
  if (at_terminal()) {
    options.ask = [](const CatalogueEntry& entry) {
      return ask_terminal(fmt::format("{} is under the licence {}: {}\nDo you accept it?", entry.title, entry.licence,
                                      entry.licence_url));
    };
  }
  options.note = [&context](const std::string& text) { context.note(text); };
  struct Line {
    std::string what;
    std::optional<Progress> progress;
  };
  options.progress = [&context, line = std::make_shared<Line>()](const std::string& what, int64_t done, int64_t total) {
    if (line->what != what) {
      line->progress.reset();
      line->what = what;
      line->progress.emplace(context.progress(what, std::max<int64_t>(total, 0)));
    }
    line->progress->update(done);
    return !context.interrupt().requested();
  };
  return options;
}

std::filesystem::path locate_model(const Context& context, const std::string& name) {
  // A path needs no store, and so no place for one.
  std::error_code ignored;
  if (parse_model_name(name).kind == ModelName::Kind::path && std::filesystem::exists(name, ignored)) return name;
  Store store = open_store(context);
  if (const auto path = resolve_model(store, name)) return *path;
  const std::string how = context.settings().text("store.pull");
  const CatalogueEntry* entry = find_in_catalogue(name);
  const bool fetch =
      how == "always" || (how == "ask" && at_terminal() &&
                          ask_terminal(entry != nullptr ? fmt::format("{} is not here. Fetch it ({}, {})?", name,
                                                                      format_bytes(entry->bytes), entry->licence)
                                                        : fmt::format("{} is not here. Fetch it?", name)));
  if (!fetch) {
    fail(Code::model_not_found, fmt::format("{} is not on this machine yet", name),
         fmt::format("fetch it with: autoglm pull {}  (or add --pull always)", name));
  }
  const StoredModel model = store.pull(name, pull_options(context));
  context.note(fmt::format("fetched {} ({}), SHA-256 {}", model.name, format_bytes(model.bytes), model.sha256));
  return model.path;
}

}  // namespace autoglm
