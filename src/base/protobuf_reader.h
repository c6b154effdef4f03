// Reads protocol buffers' wire format: what a collector of traces answers. Anything may be in it.
#pragma once

#include <cstdint>
#include <string_view>

namespace autoglm {

/// A message, field by field as they come: `while (reader.next()) if (reader.is_text(2)) ...`. Unknown fields are what
/// nobody asks about; a malformed one ends the message.
class ProtoReader {
 public:
  explicit ProtoReader(std::string_view bytes) : rest_(bytes) {}

  /// False at the end, and where the rest is malformed.
  bool next() {
    uint64_t key = 0;
    if (rest_.empty() || !varint(key)) return end();
    field_ = key >> 3;
    type_ = static_cast<uint8_t>(key & 7);
    text_ = {};
    if (field_ == 0) return end();
    if (type_ == kVarint) return varint(number_) || end();
    if (type_ == kFixed64) return skip(8) || end();
    if (type_ == kFixed32) return skip(4) || end();
    uint64_t length = 0;
    if (type_ != kLength || !varint(length) || length > rest_.size()) return end();  // groups are long gone
    text_ = rest_.substr(0, static_cast<size_t>(length));
    rest_.remove_prefix(text_.size());
    return true;
  }

  bool is_number(uint64_t field) const { return field_ == field && type_ == kVarint; }
  bool is_text(uint64_t field) const { return field_ == field && type_ == kLength; }  // string, bytes, message
  uint64_t number() const { return number_; }
  std::string_view text() const { return text_; }

 private:
  enum WireType : uint8_t { kVarint = 0, kFixed64 = 1, kLength = 2, kFixed32 = 5 };

  bool end() {
    rest_ = {};
    field_ = 0;
    return false;
  }
  bool skip(size_t bytes) {
    if (rest_.size() < bytes) return false;
    rest_.remove_prefix(bytes);
    return true;
  }
  bool varint(uint64_t& value) {
    value = 0;
    for (int shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<uint8_t>(rest_.front());
      rest_.remove_prefix(1);
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }

  std::string_view rest_;
  std::string_view text_;
  uint64_t field_ = 0;
  uint64_t number_ = 0;
  uint8_t type_ = kVarint;
};

}  // namespace autoglm
