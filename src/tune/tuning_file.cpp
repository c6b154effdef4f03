#include "tune/tuning_file.h"

#include <fmt/format.h>
#include <unistd.h>
#include <xxhash.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace autoglm {
namespace {

namespace fs = std::filesystem;

constexpr int kFormat = 1;
constexpr size_t kMostBytes = 1 << 20;
constexpr size_t kMostShapes = 4096;

nlohmann::json to_json(const TuningKey& key, const KernelTuning& tuning) {
  nlohmann::json shapes = nlohmann::json::array();
  for (const KernelTuning::Entry& entry : tuning.entries()) {
    nlohmann::json shape = {{"type", info(entry.type).name}, {"rows", entry.rows}, {"cols", entry.cols}};
    for (const TuningField& field : tuning_fields()) shape[field.name] = entry.tuning.*field.value;
    shapes.push_back(std::move(shape));
  }
  return {{"format", kFormat},      {"cpu", key.cpu},         {"isa", key.isa},
          {"threads", key.threads}, {"version", key.version}, {"shapes", std::move(shapes)}};
}

int64_t integer(const nlohmann::json& object, std::string_view name, int64_t least, int64_t most) {
  const nlohmann::json& value = object.at(std::string(name));
  if (!value.is_number_integer()) fail(Code::bad_file, fmt::format("'{}' is not a whole number", name));
  // One beyond int64 reads as a negative number, which no limit here allows.
  const auto number = value.get<int64_t>();
  if (number < least || number > most) fail(Code::bad_file, fmt::format("'{}' is {}", name, number));
  return number;
}

KernelTuning::Entry entry_of(const nlohmann::json& shape) {
  KernelTuning::Entry entry;
  const auto name = shape.at("type").get<std::string>();
  const std::optional<Type> type = type_from_name(name);
  if (!type) fail(Code::bad_file, fmt::format("there is no type '{}'", name));
  entry.type = *type;
  entry.rows = integer(shape, "rows", 1, int64_t{1} << 40);
  entry.cols = integer(shape, "cols", 1, int64_t{1} << 40);
  for (const TuningField& field : tuning_fields()) {
    entry.tuning.*field.value = static_cast<int32_t>(integer(shape, field.name, field.least, field.most));
  }
  return entry;
}

}  // namespace

fs::path tuning_path(const fs::path& cache, const TuningKey& key) {
  const std::string text = fmt::format("{}\n{}\n{}", key.cpu, key.isa, key.threads);
  return cache / "tuning" / fmt::format("kernels-{:016x}.json", XXH3_64bits(text.data(), text.size()));
}

KernelTuning parse_tuning(std::string_view text, const TuningKey& key) {
  try {
    const nlohmann::json json = nlohmann::json::parse(text);
    if (json.at("format") != kFormat || json.at("version") != key.version || json.at("cpu") != key.cpu ||
        json.at("isa") != key.isa || json.at("threads") != key.threads) {
      return {};
    }
    const nlohmann::json& shapes = json.at("shapes");
    if (!shapes.is_array() || shapes.size() > kMostShapes) fail(Code::bad_file, "'shapes' is no list of shapes");
    KernelTuning tuning;
    for (const nlohmann::json& shape : shapes) tuning.set(entry_of(shape));
    return tuning;
  } catch (const nlohmann::json::exception& error) {
    fail(Code::bad_file, fmt::format("not a tuning file: {}", error.what()));
  }
}

KernelTuning read_tuning(const fs::path& path, const TuningKey& key) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return {};
  std::ifstream file(path, std::ios::binary);
  if (!file || !fs::is_regular_file(path, ignored)) fail(Code::bad_file, "cannot be read");
  if (fs::file_size(path, ignored) > kMostBytes) fail(Code::bad_file, "too large for a tuning file");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  return parse_tuning(text, key);
}

void write_tuning(const fs::path& path, const TuningKey& key, const KernelTuning& tuning) {
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  if (error) {
    fail(Code::bad_file, fmt::format("cannot make {}: {}", path.parent_path().string(), error.message()),
         "name another folder with --cache-dir, or use --no-cache");
  }
  // Of this process alone, so that two that tune at once do not write into one another's file.
  const fs::path part = path.string() + fmt::format(".{}.part", ::getpid());
  std::ofstream file(part, std::ios::trunc | std::ios::binary);
  file << to_json(key, tuning).dump(2) << '\n';
  file.close();
  if (file) fs::rename(part, path, error);
  if (!file || error) {
    fs::remove(part, error);
    fail(Code::disk_full, fmt::format("writing {} failed", path.string()), "free some disk space");
  }
}

}  // namespace autoglm
