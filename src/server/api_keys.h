// The keys that open the API: read from a file, kept as hashes.
#pragma once

#include <array>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace autoglm {

class ApiKeys {
 public:
  /// One key a line; empty lines and those that begin with # are none. Errors: bad_file; bad_config for a file without
  /// a key, or with one that is shorter than 8 characters or holds spaces.
  explicit ApiKeys(std::filesystem::path file);

  /// Reads the file again. On an Error the keys stay as they were.
  void reload();
  /// Who a key belongs to: a name that does not tell the key. Nothing for a wrong one. Takes as long for any.
  std::optional<std::string> owner(std::string_view key) const;
  size_t size() const { return hashes_.size(); }

 private:
  using Hash = std::array<unsigned char, 32>;
  static Hash hash(std::string_view key);

  std::filesystem::path file_;
  std::vector<Hash> hashes_;
};

}  // namespace autoglm
