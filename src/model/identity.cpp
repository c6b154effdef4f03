#include "model/identity.h"

#include <algorithm>
#include <vector>

#include "base/mmap.h"
#include "model/packed_weights.h"

namespace autoglm {
namespace {

// Of each file's bytes: small pieces spread evenly over it. A stamp can be restored, and time is often normalized;
// weights that were trained on differ nearly everywhere.
constexpr size_t kSamples = 64;
constexpr size_t kSampleBytes = 4096;

Hash128 hash_of_samples(const WeightFile& file) {
  std::vector<std::byte> samples;
  const size_t step = std::max<size_t>(kSampleBytes, file.bytes.size() / kSamples);
  for (size_t at = 0; at < file.bytes.size(); at += step) {
    const auto piece = file.bytes.subspan(at, std::min(kSampleBytes, file.bytes.size() - at));
    samples.insert(samples.end(), piece.begin(), piece.end());
    forget_pages(piece);
  }
  return pack_hash(samples);
}

}  // namespace

std::string weights_identity(const ModelSource& source, const Backend& backend, Precision precision) {
  if (source.weight_files().empty()) return {};
  std::string text;
  const auto add = [&text](auto number) { text.append(reinterpret_cast<const char*>(&number), sizeof number); };
  for (const WeightFile& file : source.weight_files()) {
    add(file.stamp.inode);
    add(file.stamp.size);
    add(file.stamp.modified_ns);
    const Hash128 samples = hash_of_samples(file);
    add(samples.low);
    add(samples.high);
  }
  const Hash128 headers = hash_of_headers(source);
  add(headers.low);
  add(headers.high);
  add(precision);
  text += backend.name();
  text += '\0';
  text += backend.pack_layout();
  return text;
}

}  // namespace autoglm
