// Small model files made byte by byte, whole or wrong on purpose.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "support/errors.h"
#include "support/temporary_folder.h"

namespace autoglm::testing {

/// Numbers of GGUF value types.
enum GgufType : uint32_t { kU8, kI8, kU16, kI16, kU32, kI32, kF32, kBool, kText, kArray, kU64, kI64, kF64 };

class Bytes {
 public:
  template <typename T>
    requires std::is_arithmetic_v<T>
  Bytes& number(T value) {
    char raw[sizeof(T)];
    std::memcpy(raw, &value, sizeof(T));
    data_.append(raw, sizeof(T));
    return *this;
  }
  Bytes& raw(std::string_view text) {
    data_ += text;
    return *this;
  }
  Bytes& text(std::string_view value) { return number<uint64_t>(value.size()).raw(value); }
  Bytes& pad(size_t alignment) {
    while (data_.size() % alignment != 0) data_ += '\0';
    return *this;
  }
  Bytes& header(uint64_t tensors, uint64_t items, uint32_t version = 3) {
    return raw("GGUF").number(version).number(tensors).number(items);
  }
  Bytes& item(std::string_view key, std::string_view value) { return text(key).number<uint32_t>(kText).text(value); }
  Bytes& item(std::string_view key, uint32_t value) { return text(key).number<uint32_t>(kU32).number(value); }
  /// `dims` in the file's order: columns first.
  Bytes& tensor(std::string_view name, std::initializer_list<uint64_t> dims, uint32_t type, uint64_t offset) {
    text(name).number(static_cast<uint32_t>(dims.size()));
    for (const uint64_t dim : dims) number(dim);
    return number(type).number(offset);
  }
  const std::string& str() const { return data_; }

 private:
  std::string data_;
};

inline std::span<const std::byte> as_bytes(const std::string& text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

using test::error_of;
using test::TemporaryFolder;

}  // namespace autoglm::testing
