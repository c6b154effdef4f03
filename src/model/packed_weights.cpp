#include "model/packed_weights.h"

#include <algorithm>
#include <atomic>
#include <string>

#include "base/error.h"
#include "base/mmap.h"
#include "base/pool.h"

namespace autoglm {
namespace {

constexpr int64_t kAlign = 64;
constexpr int64_t kPiecesPerRound = 64;  // between two looks at Ctrl-C

PackHeader describe(const ModelSource& source, const PackPlan& plan, const Backend& backend, Precision precision) {
  PackHeader header;
  if (plan.bytes == 0 || source.weight_files().empty()) return header;
  header.layout = backend.pack_layout();
  header.precision = precision == Precision::f32 ? "f32" : "auto";
  for (const WeightFile& file : source.weight_files()) {
    std::error_code error;  // without a working directory the path stays as it is
    const std::filesystem::path path = std::filesystem::absolute(file.path, error);
    header.sources.push_back({(error ? file.path : path).string(), file.stamp});
  }
  header.header_hash = hash_of_headers(source);
  header.segments = plan.segments;
  header.data_bytes = plan.bytes;
  return header;
}

}  // namespace

Hash128 hash_of_headers(const ModelSource& source) {
  std::vector<Hash128> hashes;
  for (const WeightFile& file : source.weight_files()) {
    size_t end = file.bytes.size();
    for (const TensorEntry& tensor : source.tensors()) {
      const auto begin = reinterpret_cast<uintptr_t>(file.bytes.data());
      const auto at = reinterpret_cast<uintptr_t>(tensor.data.data());
      if (at >= begin && at < begin + file.bytes.size()) end = std::min<size_t>(end, at - begin);
    }
    hashes.push_back(pack_hash(file.bytes.first(end)));
  }
  return pack_hash(std::as_bytes(std::span(hashes)));
}

WeightSource weight_source(const LocatedTensor& tensor, std::span<const std::byte> data, bool mapped) {
  return {.name = tensor.name,
          .type = tensor.type,
          .count = tensor.shape.count,
          .rows = tensor.shape.rows,
          .cols = tensor.shape.cols,
          .data = data,
          .mapped = mapped};
}

Precision weight_precision(const LocatedTensor& tensor, bool tied_head, Precision precision) {
  const Role role = tensor.row->role;
  const bool exact = role == Role::router || (role == Role::token_embedding && !tied_head);
  return exact ? Precision::f32 : precision;
}

PackPlan plan_pack(const std::vector<LocatedTensor>& tensors, const Backend& backend, Precision precision) {
  const bool tied_head =
      std::none_of(tensors.begin(), tensors.end(), [](const LocatedTensor& t) { return t.row->role == Role::output; });
  PackPlan plan;
  for (const LocatedTensor& tensor : tensors) {
    PackedPlace place{.offset = (plan.bytes + kAlign - 1) / kAlign * kAlign};
    const WeightSource source = weight_source(tensor, {});
    const Precision use = weight_precision(tensor, tied_head, precision);
    if (tensor.row->form == Form::matrix) place.bytes = backend.weight_bytes(source, use);
    if (place.bytes > 0) {
      plan.segments.push_back({.name = std::string(tensor.name),
                               .layout = std::string(backend.layout(source, use)),
                               .offset = place.offset,
                               .bytes = place.bytes});
      plan.bytes = place.offset + place.bytes;
    }
    plan.places.push_back(place);
  }
  return plan;
}

PackedWeights::PackedWeights(const ModelSource& source, PackPlan plan, Runtime& runtime, const LoadOptions& options)
    : plan_(std::move(plan)), runtime_(runtime), options_(options) {
  if (plan_.bytes == 0) return;
  if (options.cache != nullptr) {
    header_ = describe(source, plan_, *runtime.backend, options.precision);
    for (const WeightFile& file : source.weight_files()) forget_pages(file.bytes);  // headers, which were hashed
    if (!header_.layout.empty()) {
      if (const std::unique_ptr<PackFile> file = options.cache->find(header_)) {
        ready_ = take(*file);
        if (!ready_) options.cache->reject(header_);
      }
    }
  }
  if (!ready_) make_block();
}

void PackedWeights::make_block() {
  auto pages = std::make_shared<Pages>(plan_.bytes, /*huge=*/true, /*resident=*/false);
  block_ = reinterpret_cast<std::byte*>(pages->data());
  data_ = block_;
  memory_ = std::move(pages);
}

bool PackedWeights::take(const PackFile& file) {
  return options_.weights_memory == WeightsMemory::own ? read(file) : map(file);
}

// Every piece is checked by the worker that reads it, while it is in that worker's cache.
bool PackedWeights::read(const PackFile& file) {
  make_block();
  return for_all_pieces([&](int64_t piece) {
    return file.read_piece(piece, {block_ + piece * kPackPiece, static_cast<size_t>(header_.piece_bytes(piece))});
  });
}

bool PackedWeights::map(const PackFile& file) {
  const std::shared_ptr<const std::byte> mapped = file.map();
  if (!mapped) return read(file);
  data_ = mapped.get();
  memory_ = mapped;
  return for_all_pieces([&](int64_t piece) { return file.check_piece(piece, mapped.get()); });
}

bool PackedWeights::for_all_pieces(const std::function<bool(int64_t piece)>& good) {
  const int64_t pieces = header_.piece_count();
  std::atomic<bool> whole = true;
  for (int64_t first = 0; first < pieces && whole; first += kPiecesPerRound) {
    const int64_t count = std::min(kPiecesPerRound, pieces - first);
    runtime_.pool->parallel_for(count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t piece = first + begin; piece < first + end; ++piece) {
        if (!good(piece)) whole = false;
      }
    });
    if (options_.progress) options_.progress(std::min((first + count) * kPackPiece, plan_.bytes), plan_.bytes);
  }
  return whole;
}

std::span<std::byte> PackedWeights::place(size_t tensor) {
  AUTOGLM_CHECK(!ready_, "what came from a pack is not packed again");
  const PackedPlace& at = plan_.places[tensor];
  return {block_ + at.offset, static_cast<size_t>(at.bytes)};
}

std::span<const std::byte> PackedWeights::packed(size_t tensor) const {
  const PackedPlace& at = plan_.places[tensor];
  return {data_ + at.offset, static_cast<size_t>(at.bytes)};
}

void PackedWeights::finish() {
  if (ready_ || header_.layout.empty()) return;
  options_.cache->keep(header_, {data_, static_cast<size_t>(plan_.bytes)}, memory_);
}

}  // namespace autoglm
