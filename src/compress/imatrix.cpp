#include "compress/imatrix.h"

#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/mmap.h"
#include "format/gguf_reader.h"

namespace autoglm {
namespace {

constexpr std::string_view kSums = ".in_sum2";
constexpr std::string_view kCounts = ".counts";

[[noreturn]] void refuse(const std::string& where, const std::string& what) {
  fail(Code::bad_file, where + ": " + what,
       "llama-imatrix writes such files: llama-imatrix -m MODEL -f TEXT -o FILE.gguf");
}

std::vector<float> floats_of(const TensorEntry& tensor, const std::string& where) {
  if (tensor.type != Type::f32) refuse(where, tensor.name + " is not F32");
  std::vector<float> out(static_cast<size_t>(tensor.elements()));
  info(Type::f32).decode(tensor.data.data(), out.data(), tensor.elements());
  for (const float value : out) {
    if (!std::isfinite(value) || value < 0.0f) refuse(where, tensor.name + " has a value that is no sum of squares");
  }
  return out;
}

std::vector<float> means_of(const std::vector<float>& sums, const std::vector<float>& counts) {
  const size_t columns = sums.size() / counts.size();
  std::vector<float> all(columns);
  double seen = 0;
  for (size_t m = 0; m < counts.size(); ++m) {
    if (counts[m] <= 0.0f) continue;
    seen += static_cast<double>(counts[m]);
    for (size_t c = 0; c < columns; ++c) all[c] += sums[m * columns + c];
  }
  std::vector<float> out(sums.size());
  for (size_t m = 0; m < counts.size(); ++m) {
    for (size_t c = 0; c < columns; ++c) {
      const float of_all = seen > 0 ? static_cast<float>(static_cast<double>(all[c]) / seen) : 1.0f;
      out[m * columns + c] = counts[m] > 0.0f ? sums[m * columns + c] / counts[m] : of_all;
    }
  }
  return out;
}

}  // namespace

Importance parse_imatrix(std::span<const std::byte> bytes, const std::string& where) {
  if (!is_gguf(bytes)) refuse(where, "is no importance file in GGUF form");
  const GgufContents contents = read_gguf(bytes, where, true);
  if (contents.metadata.text("general.type", "") != "imatrix") refuse(where, "is a GGUF, but no importance file");
  std::map<std::string_view, const TensorEntry*> by_name;
  for (const TensorEntry& tensor : contents.tensors) by_name[tensor.name] = &tensor;
  Importance out;
  for (const TensorEntry& tensor : contents.tensors) {
    if (!tensor.name.ends_with(kSums)) continue;
    const std::string name = tensor.name.substr(0, tensor.name.size() - kSums.size());
    const auto counts = by_name.find(name + std::string(kCounts));
    if (counts == by_name.end()) refuse(where, name + " has no counts");
    const std::vector<float> sums = floats_of(tensor, where);
    const std::vector<float> matrices = floats_of(*counts->second, where);
    if (matrices.empty() || sums.empty() || sums.size() % matrices.size() != 0) {
      refuse(where, name + " has sums and counts of different sizes");
    }
    out[name] = means_of(sums, matrices);
  }
  if (out.empty()) refuse(where, "has no sums of squares");
  return out;
}

Importance read_imatrix(const std::filesystem::path& path) {
  const MappedFile file(path);
  return parse_imatrix(file.bytes(), path.string());
}

}  // namespace autoglm
