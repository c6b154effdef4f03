// The keys that open the API: read from a file, kept as hashes.
#pragma once

#include <array>
#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "server/rate_limit.h"

namespace autoglm {

class ApiKeys {
 public:
  /// One key a line, and what is said of it: `KEY name=ci rpm=60 tpm=100000 concurrent=2` (requests and tokens a
  /// minute, requests at once). Lines with one name are one client. Empty lines and those that begin with # are none.
  /// `now`: seconds, as ClientMeter has them. Errors: bad_file; bad_config for a file without a key, with one that is
  /// shorter than 8 characters, or with anything else behind it.
  ApiKeys(std::filesystem::path file, double now);

  /// Reads the file again. On an Error the keys stay as they were. Clients whose limits did not change keep what they
  /// have used.
  void reload(double now);
  /// Who a key belongs to, by a name that does not tell the key. Null for a wrong one. Takes as long for any.
  std::shared_ptr<ClientMeter> client(std::string_view key) const;
  size_t size() const { return keys_.size(); }

 private:
  using Hash = std::array<unsigned char, 32>;
  using Clients = std::map<std::string, std::shared_ptr<ClientMeter>, std::less<>>;
  struct Key {
    Hash hash;
    std::shared_ptr<ClientMeter> client;
  };
  static Hash hash(std::string_view key);
  Key read_line(std::string_view line, int number, Clients& clients, double now) const;

  std::filesystem::path file_;
  std::vector<Key> keys_;
  Clients clients_;
};

}  // namespace autoglm
