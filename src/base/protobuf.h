// Writes protocol buffers' wire format (https://protobuf.dev/programming-guides/encoding): what traces and profiles are
// sent as. Only writing, and only the few kinds of fields that they have.
#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace autoglm {

/// A message, field by field in the order of the calls. A field that has its type's default value need not be written:
/// these functions leave it out, `message` and the `put_` ones never do.
class ProtoWriter {
 public:
  const std::string& bytes() const { return bytes_; }
  std::string take() { return std::move(bytes_); }

  void number(int field, uint64_t value) {  // uint32, uint64, bool, enum
    if (value != 0) put_number(field, value);
  }
  void integer(int field, int64_t value) { number(field, static_cast<uint64_t>(value)); }  // int32, int64
  void text(int field, std::string_view value) {                                           // string, bytes, packed
    if (!value.empty()) put_text(field, value);
  }
  void message(int field, const ProtoWriter& value) { put_text(field, value.bytes_); }
  void fixed64(int field, uint64_t value) {
    if (value != 0) put_fixed<8>(field, kFixed64, value);
  }
  void fixed32(int field, uint32_t value) {
    if (value != 0) put_fixed<4>(field, kFixed32, value);
  }
  template <class Integer>
  void packed(int field, std::span<const Integer> values) {
    ProtoWriter inner;
    for (const Integer value : values) inner.varint(static_cast<uint64_t>(value));
    text(field, inner.bytes_);
  }

  // Members of a `oneof`: their presence says which it is.
  void put_number(int field, uint64_t value) {
    key(field, kVarint);
    varint(value);
  }
  void put_double(int field, double value) { put_fixed<8>(field, kFixed64, std::bit_cast<uint64_t>(value)); }
  void put_text(int field, std::string_view value) {
    key(field, kLength);
    varint(value.size());
    bytes_ += value;
  }

 private:
  enum WireType : uint8_t { kVarint = 0, kFixed64 = 1, kLength = 2, kFixed32 = 5 };
  void key(int field, WireType type) { varint(static_cast<uint64_t>(field) << 3 | type); }
  // Seven bits a byte, the lowest first; the highest bit says that more follow.
  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
  }
  template <int kBytes>
  void put_fixed(int field, WireType type, uint64_t value) {
    key(field, type);
    for (int i = 0; i < kBytes; ++i) bytes_ += static_cast<char>(value >> (8 * i));
  }

  std::string bytes_;
};

}  // namespace autoglm
