// The wire format of Protocol Buffers (https://protobuf.dev/programming-guides/encoding), as much as a SentencePiece
// model needs.
#pragma once

#include <cstdint>
#include <string_view>

namespace autoglm {

/// Walks the fields of a message. Errors: bad_model_file if it is cut or malformed.
class ProtobufReader {
 public:
  explicit ProtobufReader(std::string_view message) : left_(message) {}

  /// Goes to the next field; false at the end.
  bool next();
  uint32_t field() const { return field_; }

  // The value of the current field. A field of another wire type is Error bad_model_file.
  uint64_t varint() const;
  float number() const;
  std::string_view bytes() const;

 private:
  uint64_t read_varint();
  std::string_view take(uint64_t size);

  std::string_view left_;
  uint32_t field_ = 0;
  uint32_t wire_ = 0;
  uint64_t value_ = 0;
  std::string_view bytes_;
};

}  // namespace autoglm
