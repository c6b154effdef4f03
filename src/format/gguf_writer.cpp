#include "format/gguf_writer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>

#include "base/error.h"
#include "base/ledger.h"
#include "format/printable.h"
#include "format/tensor_checks.h"

namespace autoglm {
namespace {

enum class ValueType : uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, text, array, u64, i64, f64 };

/// The header, gathered in memory: it is small beside the data.
class Header {
 public:
  template <typename T>
    requires std::is_arithmetic_v<T>
  void number(T value) {
    const auto* bytes = reinterpret_cast<const std::byte*>(&value);
    data_.insert(data_.end(), bytes, bytes + sizeof(T));
  }
  void type(ValueType value) { number(static_cast<uint32_t>(value)); }
  void raw(std::string_view text) {
    const auto* bytes = reinterpret_cast<const std::byte*>(text.data());
    data_.insert(data_.end(), bytes, bytes + text.size());
  }
  void text(std::string_view value) {
    number<uint64_t>(value.size());
    raw(value);
  }
  void value(std::string_view key, const MetaValue& value);
  std::span<const std::byte> bytes() const { return data_; }

 private:
  void integer(int64_t value);
  void fraction(double value);
  void list(std::string_view key, const MetaArray& list);
  void integers(std::string_view key, const std::vector<int64_t>& values);
  std::vector<std::byte> data_;
};

bool fits_float(double value) {
  return !std::isfinite(value) || std::fabs(value) <= double{std::numeric_limits<float>::max()};
}

void Header::integer(int64_t value) {
  if (value >= 0 && value <= std::numeric_limits<uint32_t>::max()) {
    type(ValueType::u32);
    number(static_cast<uint32_t>(value));
  } else if (value < 0 && value >= std::numeric_limits<int32_t>::min()) {
    type(ValueType::i32);
    number(static_cast<int32_t>(value));
  } else if (value < 0) {
    type(ValueType::i64);
    number(value);
  } else {
    type(ValueType::u64);
    number(static_cast<uint64_t>(value));
  }
}

void Header::fraction(double value) {
  if (fits_float(value)) {
    type(ValueType::f32);
    number(static_cast<float>(value));
  } else {
    type(ValueType::f64);
    number(value);
  }
}

void Header::integers(std::string_view key, const std::vector<int64_t>& values) {
  const auto [low, high] = std::ranges::minmax_element(values);
  const int64_t smallest = values.empty() ? 0 : *low;
  const int64_t largest = values.empty() ? 0 : *high;
  // The one list of bytes that models have: SentencePiece's normalization table.
  const bool bytes = key.ends_with(".precompiled_charsmap") && smallest >= 0 && largest <= 255;
  const bool wide = smallest < std::numeric_limits<int32_t>::min() || largest > std::numeric_limits<int32_t>::max();
  type(bytes ? ValueType::u8 : wide ? ValueType::i64 : ValueType::i32);
  number<uint64_t>(values.size());
  for (const int64_t value : values) {
    if (bytes) {
      number(static_cast<uint8_t>(value));
    } else if (wide) {
      number(value);
    } else {
      number(static_cast<int32_t>(value));
    }
  }
}

void Header::list(std::string_view key, const MetaArray& list) {
  type(ValueType::array);
  if (const auto* values = std::get_if<std::vector<int64_t>>(&list)) {
    integers(key, *values);
  } else if (const auto* fractions = std::get_if<std::vector<double>>(&list)) {
    const bool narrow = std::ranges::all_of(*fractions, fits_float);
    type(narrow ? ValueType::f32 : ValueType::f64);
    number<uint64_t>(fractions->size());
    for (const double value : *fractions) narrow ? number(static_cast<float>(value)) : number(value);
  } else if (const auto* flags = std::get_if<std::vector<bool>>(&list)) {
    type(ValueType::boolean);
    number<uint64_t>(flags->size());
    for (const bool flag : *flags) number(static_cast<uint8_t>(flag));
  } else {
    const auto& texts = std::get<std::vector<std::string>>(list);
    type(ValueType::text);
    number<uint64_t>(texts.size());
    for (const std::string& value : texts) text(value);
  }
}

void Header::value(std::string_view key, const MetaValue& value) {
  if (const auto* whole = std::get_if<int64_t>(&value)) return integer(*whole);
  if (const auto* number_value = std::get_if<double>(&value)) return fraction(*number_value);
  if (const auto* flag = std::get_if<bool>(&value)) {
    type(ValueType::boolean);
    return number(static_cast<uint8_t>(*flag));
  }
  if (const auto* words = std::get_if<std::string>(&value)) {
    type(ValueType::text);
    return text(*words);
  }
  list(key, std::get<MetaArray>(value));
}

int64_t aligned(int64_t offset, int64_t alignment) { return (offset + alignment - 1) / alignment * alignment; }

}  // namespace

int64_t GgufTensor::bytes() const { return checked_tensor_bytes(type, shape, name, "the file to be written"); }

GgufWriter::GgufWriter(const std::filesystem::path& path, const Metadata& metadata, std::vector<GgufTensor> tensors)
    : tensors_(std::move(tensors)), alignment_(metadata.integer("general.alignment", 32)) {
  AUTOGLM_CHECK(alignment_ > 0 && (alignment_ & (alignment_ - 1)) == 0, "alignment is a power of two");
  Header header;
  header.raw("GGUF");
  header.number(uint32_t{3});
  header.number<uint64_t>(tensors_.size());
  header.number<uint64_t>(metadata.all().size());
  for (const auto& [key, value] : metadata.all()) {
    header.text(key);
    header.value(key, value);
  }
  int64_t offset = 0;
  for (const GgufTensor& tensor : tensors_) {
    AUTOGLM_CHECK(tensor.shape.size() <= 4, "GGUF has at most four dimensions");
    header.text(tensor.name);
    header.number(static_cast<uint32_t>(tensor.shape.size()));
    for (auto dimension = tensor.shape.rbegin(); dimension != tensor.shape.rend(); ++dimension) {
      header.number(static_cast<uint64_t>(*dimension));
    }
    header.number(info(tensor.type).ggml_id);
    header.number(static_cast<uint64_t>(offset));
    offset = aligned(offset + tensor.bytes(), alignment_);
  }

  const int64_t size = aligned(static_cast<int64_t>(header.bytes().size()), alignment_) + offset;
  std::error_code unknown;
  const auto target = check_output(path);
  const auto folder = target.has_parent_path() ? target.parent_path() : std::filesystem::path(".");
  const auto space = std::filesystem::space(folder, unknown);
  if (!unknown && space.available < static_cast<uintmax_t>(size)) {
    fail(Code::disk_full,
         path.string() + " needs " + format_bytes(size) + "; its disk has " +
             format_bytes(static_cast<int64_t>(space.available)) + " left",
         "free some space or write to another disk");
  }
  file_.emplace(path);
  put(header.bytes());
  pad();
}

void GgufWriter::put(std::span<const std::byte> data) {
  position_ += static_cast<int64_t>(data.size());
  file_->write(data);
}

void GgufWriter::pad() {
  const std::vector<std::byte> zeros(static_cast<size_t>(aligned(position_, alignment_) - position_));
  put(zeros);
}

void GgufWriter::write(std::span<const std::byte> data) {
  while (!data.empty()) {
    AUTOGLM_CHECK(tensor_ < tensors_.size(), "more data than the tensors have");
    const auto left = static_cast<size_t>(tensors_[tensor_].bytes() - in_tensor_);
    const auto piece = data.first(std::min(left, data.size()));
    put(piece);
    in_tensor_ += static_cast<int64_t>(piece.size());
    data = data.subspan(piece.size());
    if (piece.size() < left) continue;
    pad();
    ++tensor_;
    in_tensor_ = 0;
  }
}

int64_t GgufWriter::remaining() const {
  int64_t sum = -in_tensor_;
  for (size_t i = tensor_; i < tensors_.size(); ++i) sum += tensors_[i].bytes();
  return sum;
}

void GgufWriter::finish() {
  AUTOGLM_CHECK(tensor_ == tensors_.size(), "every tensor must be written before the file is finished");
  file_->finish();
}

}  // namespace autoglm
