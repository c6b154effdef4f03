#include "compress/tensor_store.h"

#include <fmt/format.h>

#include <cstring>
#include <fstream>
#include <system_error>

#include "base/error.h"
#include "base/output_file.h"
#include "format/pack_file.h"

namespace autoglm {
namespace {

namespace fs = std::filesystem;

}  // namespace

std::string hex_hash(std::string_view text) {
  const Hash128 hash = pack_hash(std::as_bytes(std::span(text)));
  return fmt::format("{:016x}{:016x}", hash.high, hash.low);
}

std::string source_key(const ModelSource& source, std::span<const std::vector<int32_t>> windows) {
  std::string key;
  for (const fs::path& path : source.files()) {
    key += fmt::format("{} {} {}\n", fs::absolute(path).string(), fs::file_size(path),
                       fs::last_write_time(path).time_since_epoch().count());
  }
  for (const auto& window : windows) {
    for (const int32_t token : window) key += fmt::format("{} ", token);
    key += "\n";
  }
  return key;
}

TensorStore::TensorStore(fs::path folder, const std::string& key)
    : folder_(std::move(folder)), prefix_(hex_hash(key).substr(0, 16)) {
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) {
    fail(Code::work_failed, fmt::format("cannot make the folder {}: {}", folder_.string(), error.message()),
         "write to another place");
  }
}

fs::path TensorStore::file(const std::string& name, Type type) const {
  return folder_ / fmt::format("{}-{}.{}", prefix_, name, info(type).name);
}

bool TensorStore::has(const std::string& name, Type type, int64_t bytes) const {
  std::error_code error;
  const auto size = fs::file_size(file(name, type), error);
  return !error && size == static_cast<uintmax_t>(bytes) + sizeof(Hash128);
}

std::optional<std::vector<std::byte>> TensorStore::read(const std::string& name, Type type, int64_t bytes) const {
  if (!has(name, type, bytes)) return std::nullopt;
  std::ifstream in(file(name, type), std::ios::binary);
  std::vector<std::byte> data(static_cast<size_t>(bytes));
  Hash128 hash;
  in.read(reinterpret_cast<char*>(data.data()), std::ssize(data));
  in.read(reinterpret_cast<char*>(&hash), sizeof hash);
  if (!in || !(pack_hash(data) == hash)) return std::nullopt;
  return data;
}

void TensorStore::write(const std::string& name, Type type, std::span<const std::byte> bytes) const {
  const Hash128 hash = pack_hash(bytes);
  OutputFile out(file(name, type));
  out.write(bytes);
  out.write(std::as_bytes(std::span(&hash, 1)));
  out.finish();
}

void TensorStore::remove() const {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder_, ignored)) {
    if (entry.path().filename().string().starts_with(prefix_)) fs::remove(entry.path(), ignored);
  }
  fs::remove(folder_, ignored);  // fails, as it should, where something is left
}

}  // namespace autoglm
