#include "format/gguf_reader.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <limits>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "format/printable.h"
#include "format/tensor_checks.h"

namespace autoglm {
namespace {

// Numbers of value types in the file.
enum class ValueType : uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, text, array, u64, i64, f64 };

constexpr size_t kSmallestItem = 13;     // length of the key, type, one byte of value
constexpr size_t kSmallestTensor = 24;   // name length, dimension count, type, offset
constexpr uint32_t kMostDimensions = 4;  // as ggml

/// Types of ggml that are not built, with the nearest that is.
struct Refused {
  uint32_t id;
  std::string_view name;
  std::string_view nearest;
};
constexpr Refused kRefused[] = {
    {4, "Q4_2", "Q4_0"},          {5, "Q4_3", "Q4_1"},          {9, "Q8_1", "Q8_0"},          {15, "Q8_K", "Q8_0"},
    {16, "IQ2_XXS", "Q2_K"},      {17, "IQ2_XS", "Q2_K"},       {18, "IQ3_XXS", "Q3_K_S"},    {19, "IQ1_S", "Q2_K"},
    {21, "IQ3_S", "Q3_K_M"},      {22, "IQ2_S", "Q2_K"},        {29, "IQ1_M", "Q2_K"},        {31, "Q4_0_4_4", "Q4_0"},
    {32, "Q4_0_4_8", "Q4_0"},     {33, "Q4_0_8_8", "Q4_0"},     {34, "TQ1_0", "Q2_K"},        {35, "TQ2_0", "Q2_K"},
    {36, "IQ4_NL_4_4", "IQ4_NL"}, {37, "IQ4_NL_4_8", "IQ4_NL"}, {38, "IQ4_NL_8_8", "IQ4_NL"}, {39, "MXFP4", "Q4_K_M"},
    {40, "NVFP4", "Q4_K_M"},      {41, "Q1_0", "Q2_K"},         {42, "Q2_0", "Q2_K"},
};

[[noreturn]] void refuse_type(uint32_t id, const std::string& tensor, const std::string& where) {
  for (const Refused& row : kRefused) {
    if (row.id != id) continue;
    fail(Code::unsupported_model,
         where + ": tensor " + printable(tensor) + " is stored as " + std::string(row.name) + ", which is not built",
         "use this model's " + std::string(row.nearest) + " file: the nearest type that is built");
  }
  fail(Code::unsupported_model,
       where + ": tensor " + printable(tensor) + " has type number " + std::to_string(id) + ", which is not known",
       "use this model's Q4_K_M or Q8_0 file");
}

/// A place in the bytes of a file. Every read checks what is left first.
class Cursor {
 public:
  Cursor(std::span<const std::byte> bytes, const std::string& where) : bytes_(bytes), where_(where) {}

  size_t position() const { return position_; }
  size_t left() const { return bytes_.size() - position_; }
  const std::string& where() const { return where_; }

  [[noreturn]] void refuse(const std::string& why) const { fail(Code::bad_model_file, where_ + ": " + why); }

  template <typename T>
  T number() {
    need(sizeof(T), "a number");
    T value;
    std::memcpy(&value, bytes_.data() + position_, sizeof(T));
    position_ += sizeof(T);
    return value;
  }

  std::string text(const char* what) {
    const auto length = number<uint64_t>();
    need(length, what);
    std::string result(reinterpret_cast<const char*>(bytes_.data() + position_), static_cast<size_t>(length));
    position_ += static_cast<size_t>(length);
    return result;
  }

  /// A number of things of at least `smallest` bytes each: refused when the file cannot hold them.
  size_t count(uint64_t number_of, size_t smallest, const char* what) const {
    if (number_of > left() / smallest) {
      refuse("it announces " + std::to_string(number_of) + " " + what + ", more than its " +
             std::to_string(bytes_.size()) + " bytes can hold; the file is cut or corrupt");
    }
    return static_cast<size_t>(number_of);
  }

 private:
  void need(uint64_t size, const char* what) const {
    if (size > left()) {
      refuse("it ends inside " + std::string(what) + " at byte " + std::to_string(position_) +
             "; the file is cut or corrupt");
    }
  }

  std::span<const std::byte> bytes_;
  const std::string& where_;
  size_t position_ = 0;
};

int64_t signed_value(Cursor& in, uint64_t value, const std::string& key) {
  if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    in.refuse("the value of metadata key " + printable(key) + " is beyond 2^63");
  }
  return static_cast<int64_t>(value);
}

bool is_integer(ValueType type) { return type <= ValueType::i32 || type == ValueType::u64 || type == ValueType::i64; }

int64_t read_integer(Cursor& in, ValueType type, const std::string& key) {
  switch (type) {
    case ValueType::u8:
      return in.number<uint8_t>();
    case ValueType::i8:
      return in.number<int8_t>();
    case ValueType::u16:
      return in.number<uint16_t>();
    case ValueType::i16:
      return in.number<int16_t>();
    case ValueType::u32:
      return in.number<uint32_t>();
    case ValueType::i32:
      return in.number<int32_t>();
    case ValueType::i64:
      return in.number<int64_t>();
    default:
      return signed_value(in, in.number<uint64_t>(), key);
  }
}

size_t smallest_bytes(ValueType type) {
  switch (type) {
    case ValueType::u16:
    case ValueType::i16:
      return 2;
    case ValueType::u32:
    case ValueType::i32:
    case ValueType::f32:
      return 4;
    case ValueType::u64:
    case ValueType::i64:
    case ValueType::f64:
    case ValueType::text:
      return 8;
    default:
      return 1;
  }
}

MetaArray read_array(Cursor& in, const std::string& key) {
  const auto type = static_cast<ValueType>(in.number<uint32_t>());
  const auto announced = in.number<uint64_t>();
  if (type == ValueType::array) in.refuse("metadata key " + printable(key) + " is a list of lists");
  if (type > ValueType::f64) in.refuse("metadata key " + printable(key) + " is a list of an unknown type");
  const size_t n = in.count(announced, smallest_bytes(type), "list elements");
  if (is_integer(type)) {
    std::vector<int64_t> values(n);
    for (int64_t& value : values) value = read_integer(in, type, key);
    return values;
  }
  if (type == ValueType::text) {
    std::vector<std::string> values;
    values.reserve(n);
    for (size_t i = 0; i < n; ++i) values.push_back(in.text("a text of a metadata list"));
    return values;
  }
  if (type == ValueType::boolean) {
    std::vector<bool> values(n);
    for (size_t i = 0; i < n; ++i) values[i] = in.number<uint8_t>() != 0;
    return values;
  }
  std::vector<double> values(n);
  for (double& value : values) value = type == ValueType::f32 ? in.number<float>() : in.number<double>();
  return values;
}

MetaValue read_value(Cursor& in, const std::string& key) {
  const auto type = static_cast<ValueType>(in.number<uint32_t>());
  if (type > ValueType::f64) {
    in.refuse("metadata key " + printable(key) + " has the unknown type " +
              std::to_string(static_cast<uint32_t>(type)));
  }
  if (is_integer(type)) return read_integer(in, type, key);
  if (type == ValueType::f32) return static_cast<double>(in.number<float>());
  if (type == ValueType::f64) return in.number<double>();
  if (type == ValueType::boolean) return in.number<uint8_t>() != 0;
  if (type == ValueType::text) return in.text("a metadata text");
  return read_array(in, key);
}

void check_version(Cursor& in) {
  const auto version = in.number<uint32_t>();
  if (version == 2 || version == 3) return;
  // A small number read from the wrong end has its lower bytes zero.
  if (version != 0 && (version & 0xffffu) == 0) {
    fail(Code::unsupported_model, in.where() + ": the file is big endian, which is not built",
         "download the model's usual (little endian) GGUF file");
  }
  if (version == 1) {
    fail(Code::unsupported_model, in.where() + ": GGUF version 1 is not built",
         "download the model anew: files since October 2023 are version 2 or 3");
  }
  fail(Code::unsupported_model, in.where() + ": GGUF version " + std::to_string(version) + " is not known",
       "versions 2 and 3 are built");
}

/// A tensor header; the data's place is filled in when the header's end, and so the data section, is known.
struct Header {
  TensorEntry entry;
  uint64_t offset = 0;
  uint64_t bytes = 0;
};

/// Returns false if the type is not built and that is no error.
bool read_header(Cursor& in, bool need_weights, Header& header) {
  TensorEntry& entry = header.entry;
  entry.name = in.text("a tensor's name");
  const auto dimensions = in.number<uint32_t>();
  if (dimensions > kMostDimensions) {
    in.refuse("tensor " + printable(entry.name) + " has " + std::to_string(dimensions) +
              " dimensions; at most 4 exist");
  }
  for (uint32_t i = 0; i < dimensions; ++i) {
    const auto dimension = in.number<uint64_t>();
    if (dimension > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      in.refuse("tensor " + printable(entry.name) + " has a dimension of " + std::to_string(dimension));
    }
    entry.shape.push_back(static_cast<int64_t>(dimension));
  }
  std::ranges::reverse(entry.shape);  // the file has the fastest dimension first
  const auto id = in.number<uint32_t>();
  header.offset = in.number<uint64_t>();
  const auto type = type_from_ggml(id);
  if (!type) {
    if (need_weights) refuse_type(id, entry.name, in.where());
    return false;
  }
  entry.type = *type;
  header.bytes = static_cast<uint64_t>(checked_tensor_bytes(*type, entry.shape, entry.name, in.where()));
  return true;
}

void place_data(const Cursor& in, std::span<const std::byte> bytes, uint64_t alignment, std::vector<Header>& headers) {
  // The data section begins at the next multiple of the alignment. A file of headers only may end before it.
  const uint64_t begin = (in.position() + alignment - 1) / alignment * alignment;
  const uint64_t size = begin < bytes.size() ? bytes.size() - begin : 0;
  for (Header& header : headers) {
    if (header.offset % alignment != 0) {
      in.refuse("the data of tensor " + printable(header.entry.name) + " is not aligned to " +
                std::to_string(alignment));
    }
    if (header.offset > size || header.bytes > size - header.offset) {
      in.refuse("the data of tensor " + printable(header.entry.name) +
                " lies beyond the end of the file; the file is cut or corrupt");
    }
    header.entry.data = bytes.subspan(static_cast<size_t>(begin + header.offset), static_cast<size_t>(header.bytes));
  }
}

uint64_t data_alignment(const Cursor& in, const Metadata& metadata) {
  const int64_t alignment = metadata.integer("general.alignment", 32);
  if (alignment < 1 || alignment > (int64_t{1} << 30) || (alignment & (alignment - 1)) != 0) {
    in.refuse("general.alignment is " + std::to_string(alignment) + ", not a power of two up to 2^30");
  }
  return static_cast<uint64_t>(alignment);
}

}  // namespace

bool is_gguf(std::span<const std::byte> bytes) {
  return bytes.size() >= 4 && std::memcmp(bytes.data(), "GGUF", 4) == 0;
}

GgufContents read_gguf(std::span<const std::byte> bytes, const std::string& where, bool need_weights) {
  Cursor in(bytes, where);
  if (!is_gguf(bytes)) in.refuse("it does not begin with 'GGUF'");
  in.number<uint32_t>();
  check_version(in);
  const auto tensors_announced = in.number<uint64_t>();
  const auto items_announced = in.number<uint64_t>();

  GgufContents contents;
  const size_t items = in.count(items_announced, kSmallestItem, "metadata items");
  for (size_t i = 0; i < items; ++i) {
    std::string key = in.text("a metadata key");
    if (contents.metadata.has(key)) in.refuse("the metadata key " + printable(key) + " is there twice");
    MetaValue value = read_value(in, key);
    contents.metadata.set(std::move(key), std::move(value));
  }

  const size_t tensors = in.count(tensors_announced, kSmallestTensor, "tensors");
  std::vector<Header> headers;
  headers.reserve(tensors);
  bool all_built = true;
  for (size_t i = 0; i < tensors; ++i) {
    Header header;
    if (read_header(in, need_weights, header)) {
      headers.push_back(std::move(header));
    } else {
      all_built = false;
    }
  }
  if (!all_built) return contents;
  place_data(in, bytes, data_alignment(in, contents.metadata), headers);
  contents.tensors.reserve(headers.size());
  for (Header& header : headers) contents.tensors.push_back(std::move(header.entry));
  check_overlaps(contents.tensors, where);
  return contents;
}

std::vector<std::string> gguf_split_names(const std::string& file_name) {
  constexpr std::string_view kForm = "-00001-of-00003.gguf";
  if (file_name.size() <= kForm.size()) return {};
  const std::string prefix = file_name.substr(0, file_name.size() - kForm.size());
  const std::string tail = file_name.substr(prefix.size());
  const auto digits = [&tail](size_t begin) {
    int value = 0;
    for (size_t i = begin; i < begin + 5; ++i) {
      if (tail[i] < '0' || tail[i] > '9') return -1;
      value = 10 * value + (tail[i] - '0');
    }
    return value;
  };
  const int part = digits(1);
  const int parts = digits(10);
  if (tail[0] != '-' || tail.substr(6, 4) != "-of-" || tail.substr(15) != ".gguf") return {};
  if (part < 1 || parts < part) return {};
  std::vector<std::string> names;
  for (int i = 1; i <= parts; ++i) {
    char numbers[32];
    std::snprintf(numbers, sizeof(numbers), "-%05d-of-%05d.gguf", i, parts);
    names.push_back(prefix + numbers);
  }
  return names;
}

}  // namespace autoglm
