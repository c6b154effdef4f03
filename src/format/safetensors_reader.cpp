#include "format/safetensors_reader.h"

#include <simdjson.h>

#include <cstring>
#include <optional>
#include <unordered_set>

#include "base/error.h"
#include "format/printable.h"
#include "format/tensor_checks.h"

namespace autoglm {
namespace {

namespace dom = simdjson::dom;

constexpr uint64_t kLongestHeader = 100'000'000;  // bytes; the format's own limit
constexpr size_t kMostDimensions = 8;

[[noreturn]] void refuse(const std::string& where, const std::string& why) {
  fail(Code::bad_model_file, where + ": " + why);
}

/// Types by their names in the header. A boolean is one byte, 0 or 1.
std::optional<Type> type_of(std::string_view name) {
  constexpr std::pair<std::string_view, Type> kNames[] = {{"F32", Type::f32}, {"F16", Type::f16}, {"BF16", Type::bf16},
                                                          {"F64", Type::f64}, {"I8", Type::i8},   {"I16", Type::i16},
                                                          {"I32", Type::i32}, {"I64", Type::i64}, {"BOOL", Type::i8}};
  for (const auto& [known, type] : kNames) {
    if (known == name) return type;
  }
  return std::nullopt;
}

dom::element parse(dom::parser& parser, std::string_view json, const std::string& where) {
  dom::element root;
  if (json.empty()) refuse(where, "it is empty");
  // simdjson copies the text, because it reads a little beyond its end.
  if (const auto error = parser.parse(json.data(), json.size(), true).get(root)) {
    refuse(where, std::string("it is not valid JSON: ") + simdjson::error_message(error));
  }
  return root;
}

/// One entry of the header: {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}.
class EntryReader {
 public:
  EntryReader(std::string_view name, dom::element value, const std::string& where) : name_(name), where_(where) {
    if (value.get(object_)) refuse_entry("is not described by an object");
  }

  Type type() const {
    std::string_view name;
    if (object_["dtype"].get(name)) refuse_entry("has no dtype");
    const auto type = type_of(name);
    if (!type) {
      fail(Code::unsupported_model,
           where_ + ": tensor " + printable(name_) + " is stored as " + printable(name) + ", which is not built",
           "use the checkpoint of this model in BF16 or F16, or a GGUF file of it");
    }
    return *type;
  }

  std::vector<int64_t> shape() const {
    dom::array list;
    if (object_["shape"].get(list)) refuse_entry("has no shape");
    std::vector<int64_t> shape;
    for (const dom::element element : list) {
      int64_t dimension = 0;
      if (element.get(dimension)) refuse_entry("has a shape that is not made of integers");
      if (shape.size() == kMostDimensions) refuse_entry("has more than 8 dimensions");
      shape.push_back(dimension);
    }
    return shape;
  }

  std::span<const std::byte> data(std::span<const std::byte> all, int64_t size) const {
    dom::array list;
    if (object_["data_offsets"].get(list)) refuse_entry("has no data_offsets");
    uint64_t ends[2] = {0, 0};
    size_t n = 0;
    for (const dom::element element : list) {
      if (n == 2 || element.get(ends[n])) refuse_entry("has data_offsets that are not two numbers");
      ++n;
    }
    if (n != 2 || ends[1] < ends[0]) refuse_entry("has data_offsets that are not a begin and an end");
    if (ends[1] > all.size()) refuse_entry("lies beyond the end of the file; the file is cut or corrupt");
    if (ends[1] - ends[0] != static_cast<uint64_t>(size)) {
      refuse_entry("has " + std::to_string(ends[1] - ends[0]) + " bytes; its shape needs " + std::to_string(size));
    }
    return all.subspan(static_cast<size_t>(ends[0]), static_cast<size_t>(size));
  }

 private:
  [[noreturn]] void refuse_entry(const std::string& why) const {
    refuse(where_, "tensor " + printable(name_) + " " + why);
  }

  std::string_view name_;
  const std::string& where_;
  dom::object object_;
};

}  // namespace

std::vector<TensorEntry> read_safetensors(std::span<const std::byte> bytes, const std::string& where) {
  uint64_t length = 0;
  if (bytes.size() < sizeof(length))
    refuse(where, "it is shorter than the 8 bytes that every safetensors file begins with");
  std::memcpy(&length, bytes.data(), sizeof(length));
  const auto rest = bytes.subspan(sizeof(length));
  if (length > rest.size()) {
    refuse(where, "it announces a header of " + std::to_string(length) + " bytes and has only " +
                      std::to_string(rest.size()) + " after it; the file is cut, corrupt or not safetensors");
  }
  if (length > kLongestHeader) refuse(where, "its header is longer than the 100 MB that the format allows");
  const auto data = rest.subspan(static_cast<size_t>(length));

  dom::parser parser;
  const std::string_view text(reinterpret_cast<const char*>(rest.data()), static_cast<size_t>(length));
  dom::object header;
  if (parse(parser, text, where).get(header)) refuse(where, "its header is not a JSON object");
  std::vector<TensorEntry> tensors;
  for (const auto [name, value] : header) {
    if (name == "__metadata__") continue;
    const EntryReader reader(name, value, where);
    TensorEntry entry;
    entry.name = std::string(name);
    entry.type = reader.type();
    entry.shape = reader.shape();
    entry.data = reader.data(data, checked_tensor_bytes(entry.type, entry.shape, entry.name, where));
    tensors.push_back(std::move(entry));
  }
  check_overlaps(tensors, where);
  return tensors;
}

std::vector<std::pair<std::string, std::string>> read_safetensors_index(std::string_view json,
                                                                        const std::string& where) {
  dom::parser parser;
  dom::object map;
  if (parse(parser, json, where)["weight_map"].get(map)) refuse(where, "it has no weight_map");
  std::vector<std::pair<std::string, std::string>> pairs;
  std::unordered_set<std::string_view> seen;
  for (const auto [tensor, value] : map) {
    std::string_view file;
    if (value.get(file)) refuse(where, "the file of tensor " + printable(tensor) + " is not a text");
    if (file.empty() || file.find('/') != file.npos || file.find('\0') != file.npos || file == "." || file == "..") {
      refuse(where,
             "the file of tensor " + printable(tensor) + " is " + printable(file) + ", not a name in this folder");
    }
    if (!seen.insert(tensor).second) refuse(where, "tensor " + printable(tensor) + " is there twice");
    pairs.emplace_back(tensor, file);
  }
  return pairs;
}

}  // namespace autoglm
