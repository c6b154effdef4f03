#include "text/protobuf.h"

#include <bit>

#include "base/error.h"

namespace autoglm {
namespace {

enum Wire : uint32_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

[[noreturn]] void bad() { fail(Code::bad_model_file, "tokenizer.model is cut or not a SentencePiece model"); }

uint64_t little_endian(std::string_view bytes) {
  uint64_t value = 0;
  for (size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

}  // namespace

bool ProtobufReader::next() {
  if (left_.empty()) return false;
  const uint64_t tag = read_varint();
  if (tag >> 3 == 0 || tag >> 3 > 0x1FFFFFFF) bad();
  field_ = static_cast<uint32_t>(tag >> 3);
  wire_ = static_cast<uint32_t>(tag & 7);
  switch (wire_) {
    case kVarint:
      value_ = read_varint();
      break;
    case kFixed64:
      value_ = little_endian(take(8));
      break;
    case kBytes:
      bytes_ = take(read_varint());
      break;
    case kFixed32:
      value_ = little_endian(take(4));
      break;
    default:
      bad();
  }
  return true;
}

uint64_t ProtobufReader::varint() const {
  if (wire_ != kVarint) bad();
  return value_;
}

float ProtobufReader::number() const {
  if (wire_ != kFixed32) bad();
  return std::bit_cast<float>(static_cast<uint32_t>(value_));
}

std::string_view ProtobufReader::bytes() const {
  if (wire_ != kBytes) bad();
  return bytes_;
}

uint64_t ProtobufReader::read_varint() {
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    const auto byte = static_cast<unsigned char>(take(1).front());
    value |= static_cast<uint64_t>(byte & 0x7F) << shift;
    if (byte < 0x80) return value;
  }
  bad();
}

std::string_view ProtobufReader::take(uint64_t size) {
  if (size > left_.size()) bad();
  const std::string_view taken = left_.substr(0, static_cast<size_t>(size));
  left_.remove_prefix(static_cast<size_t>(size));
  return taken;
}

}  // namespace autoglm
