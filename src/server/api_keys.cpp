#include "server/api_keys.h"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <fstream>
#include <utility>

#include "base/error.h"

namespace autoglm {
namespace {

constexpr size_t kShortest = 8;
constexpr size_t kLongestFile = 1 << 20;

[[noreturn]] void refuse(int number, const std::string& why) {
  fail(Code::bad_config, fmt::format("line {} of the file of API keys {}", number, why),
       "a line is KEY, or KEY name=NAME rpm=60 tpm=100000 concurrent=2; a key has at least 8 characters and no spaces");
}

// The next word of a line, which loses it.
std::string_view next_word(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  const std::string_view word = line.substr(0, line.find(' '));
  line.remove_prefix(word.size());
  return word;
}

bool good_name(std::string_view name) {
  return !name.empty() && name.size() <= 64 && std::ranges::all_of(name, [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
  });
}

int64_t count(std::string_view text, int number) {
  constexpr int64_t kMost = 1'000'000'000'000;
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < 1 || value > kMost) {
    refuse(number, "has a limit that is no number from 1 on");
  }
  return value;
}

}  // namespace

ApiKeys::ApiKeys(std::filesystem::path file, double now) : file_(std::move(file)) { reload(now); }

ApiKeys::Hash ApiKeys::hash(std::string_view key) {
  Hash result{};
  unsigned int length = 0;
  AUTOGLM_CHECK(EVP_Digest(key.data(), key.size(), result.data(), &length, EVP_sha256(), nullptr) == 1, "SHA-256");
  return result;
}

// `clients`: of the lines before. Nothing of the key is in what is thrown.
ApiKeys::Key ApiKeys::read_line(std::string_view line, int number, Clients& clients, double now) const {
  const std::string_view key = next_word(line);
  const bool printable = std::ranges::all_of(key, [](char c) { return c > ' ' && c < 127; });
  if (key.size() < kShortest || !printable) refuse(number, "is no key");
  Key result{.hash = hash(key), .client = nullptr};
  std::string name =
      fmt::format("key-{:02x}{:02x}{:02x}{:02x}", result.hash[0], result.hash[1], result.hash[2], result.hash[3]);
  ClientLimits limits;
  for (std::string_view word = next_word(line); !word.empty(); word = next_word(line)) {
    const size_t equals = std::min(word.find('='), word.size());
    const std::string_view what = word.substr(0, equals);
    const std::string_view value = word.substr(std::min(equals + 1, word.size()));
    if (what == "name" && good_name(value)) {
      name = value;
    } else if (what == "rpm") {
      limits.requests_per_minute = count(value, number);
    } else if (what == "tpm") {
      limits.tokens_per_minute = count(value, number);
    } else if (what == "concurrent") {
      limits.concurrent = count(value, number);
    } else {
      refuse(number, "has something behind its key that is not name, rpm, tpm or concurrent");
    }
  }
  std::shared_ptr<ClientMeter>& client = clients[name];
  if (client != nullptr && client->limits() != limits) refuse(number, "gives a name of another line other limits");
  const auto old = clients_.find(name);
  if (client == nullptr && old != clients_.end() && old->second->limits() == limits) client = old->second;
  if (client == nullptr) client = std::make_shared<ClientMeter>(name, limits, now);
  result.client = client;
  return result;
}

void ApiKeys::reload(double now) {
  std::ifstream in(file_);
  if (!in || std::filesystem::is_directory(file_)) {
    fail(Code::bad_file, fmt::format("the file of API keys cannot be read: {}", file_.string()),
         "give a file with one key a line to --api-key-file");
  }
  std::vector<Key> keys;
  Clients clients;
  std::string line;
  size_t bytes = 0;
  for (int number = 1; std::getline(in, line); ++number) {
    bytes += line.size() + 1;
    if (bytes > kLongestFile) fail(Code::limit_exceeded, "the file of API keys is longer than 1 MiB");
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (line.empty() || line.front() == '#') continue;
    keys.push_back(read_line(line, number, clients, now));
  }
  if (keys.empty()) fail(Code::bad_config, "the file of API keys has none", "write one key a line");
  keys_ = std::move(keys);
  clients_ = std::move(clients);
}

std::shared_ptr<ClientMeter> ApiKeys::client(std::string_view key) const {
  const Hash wanted = hash(key);
  const Key* found = nullptr;
  for (const Key& known : keys_) {
    if (CRYPTO_memcmp(known.hash.data(), wanted.data(), wanted.size()) == 0) found = &known;
  }
  return found == nullptr ? nullptr : found->client;
}

}  // namespace autoglm
