#include "server/api_keys.h"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>
#include <fstream>
#include <utility>

#include "base/error.h"

namespace autoglm {
namespace {

constexpr size_t kShortest = 8;
constexpr size_t kLongestFile = 1 << 20;

}  // namespace

ApiKeys::ApiKeys(std::filesystem::path file) : file_(std::move(file)) { reload(); }

ApiKeys::Hash ApiKeys::hash(std::string_view key) {
  Hash result{};
  unsigned int length = 0;
  AUTOGLM_CHECK(EVP_Digest(key.data(), key.size(), result.data(), &length, EVP_sha256(), nullptr) == 1, "SHA-256");
  return result;
}

void ApiKeys::reload() {
  std::ifstream in(file_);
  if (!in || std::filesystem::is_directory(file_)) {
    fail(Code::bad_file, fmt::format("the file of API keys cannot be read: {}", file_.string()),
         "give a file with one key a line to --api-key-file");
  }
  std::vector<Hash> hashes;
  std::string line;
  size_t bytes = 0;
  for (int number = 1; std::getline(in, line); ++number) {
    bytes += line.size() + 1;
    if (bytes > kLongestFile) fail(Code::limit_exceeded, "the file of API keys is longer than 1 MiB");
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (line.empty() || line.front() == '#') continue;
    const bool printable = std::ranges::all_of(line, [](char c) { return c > ' ' && c < 127; });
    if (line.size() < kShortest || !printable) {
      fail(Code::bad_config, fmt::format("line {} of the file of API keys is no key", number),
           "a key has at least 8 characters and no spaces");
    }
    hashes.push_back(hash(line));
  }
  if (hashes.empty()) fail(Code::bad_config, "the file of API keys has none", "write one key a line");
  hashes_ = std::move(hashes);
}

std::optional<std::string> ApiKeys::owner(std::string_view key) const {
  const Hash wanted = hash(key);
  size_t found = hashes_.size();
  for (size_t i = 0; i < hashes_.size(); ++i) {
    if (CRYPTO_memcmp(hashes_[i].data(), wanted.data(), wanted.size()) == 0) found = i;
  }
  if (found == hashes_.size()) return {};
  return fmt::format("key-{:02x}{:02x}{:02x}{:02x}", wanted[0], wanted[1], wanted[2], wanted[3]);
}

}  // namespace autoglm
