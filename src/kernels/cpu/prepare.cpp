// Activations in the forms that weights multiply, and panels of weights ready to be multiplied.
#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "kernels/cpu/cpu_backend.h"

namespace autoglm::cpu {
namespace {

/// Up to this many rows every worker prepares for itself.
constexpr int64_t kOwnRows = 2;

/// Pieces of a product that every worker should get, so that the last ones end together.
constexpr int64_t kPiecesEach = 4;

/// The fewest rows that meet a block of panels; a multiple of 16, 6, 4 and 3, what the kernels take at once.
constexpr int64_t kFewRows = 48;

/// Groups of a panel that are decoded and multiplied before the next: the first-level cache holds what they become. A
/// multiple of 8, the groups of a block.
constexpr int64_t kPieceGroups = 8;

/// Bytes of weights asked for before the rows are ready: what one core keeps in flight for about a microsecond.
constexpr int64_t kPrefetchBytes = 8192;

/// A tile that is not full costs as much as a full one, and 33 rows in three tiles would lose more than tiles gain.
/// From 64 rows on they win by more than they can waste.
bool fills_tiles(int64_t rows) {
  const int64_t computed = (rows + ActTile::kRows - 1) / ActTile::kRows * ActTile::kRows;
  return rows >= 64 || 8 * computed <= 9 * rows;
}

bool takes_tiles(const IsaTable& isa, const CpuWeight& weight, int64_t rows) {
  return isa.gemm_signed != nullptr && weight.kind == Kind::quant && !weight.layout.group16 && rows > kOwnRows &&
         rows >= weight.tuning.tile_rows && fills_tiles(rows);
}

}  // namespace

#if defined(__x86_64__)
__attribute__((target("prfchw")))  // processors without it take it for a no-op
#endif
void own_lines(const float* to, int64_t rows, int64_t width, int64_t stride) {
  constexpr int64_t kLine = 16;  // floats
  for (int64_t row = 0; row < rows; ++row, to += stride) {
    for (int64_t i = 0; i < width; i += kLine) __builtin_prefetch(to + i, 1, 3);
  }
}

void own_row(const Activations& x, int64_t row) {
  if (x.codes == nullptr) return;
  const ActGroup* codes = x.codes + row * x.code_stride();
  for (int64_t g = 0; g < x.groups(); ++g) __builtin_prefetch(codes + g, 1, 3);
}

unsigned form_of(const CpuWeight& weight) {
  switch (weight.kind) {
    case Kind::quant:
      return kCodes;
    case Kind::bf16:
    case Kind::f16:
      return kBf16;
    case Kind::mapped:
    case Kind::f32:
      break;
  }
  return kF32;
}

/// A row's codes beside those of its neighbours.
void copy_to_tiles(const Activations& x, int64_t row) {
  const ActGroup* from = x.codes + row * x.code_stride();
  ActTile* to = x.tiles + row / ActTile::kRows * x.groups();
  const int64_t at = row % ActTile::kRows;
  for (int64_t g = 0; g < x.groups(); ++g) {
    std::memcpy(to[g].codes[at], from[g].codes, sizeof(from[g].codes));
    to[g].scale[at] = from[g].scale;
    to[g].fsum[at] = from[g].fsum;
  }
}

Activations CpuBackend::carve(Carver& carver, int64_t rows, int64_t cols, unsigned forms) const {
  Activations x;
  x.cols = cols;
  if ((forms & kCodes) != 0) x.codes = carver.take<ActGroup>(rows * x.code_stride());
  if ((forms & kTiles) != 0 && (forms & kCodes) != 0) {
    x.tiles = carver.take<ActTile>(round_up(rows, ActTile::kRows) / ActTile::kRows * x.groups());
  }
  if ((forms & kBf16) != 0) x.bf16 = carver.take<uint16_t>(rows * x.bf16_stride());
  if ((forms & kF32) != 0) x.f32 = carver.take<float>(rows * cols);
  return x;
}

unsigned CpuBackend::form_for(const CpuWeight& weight, int64_t rows) const {
  return form_of(weight) | (takes_tiles(isa_, weight, rows) ? kTiles : 0);
}

bool CpuBackend::leaves_codes(const Buffer& out, const Weight* next, int64_t rows) const {
  if (next == nullptr || rows < kBlockRows) return false;
  const CpuWeight& weight = weight_of(*next);
  const Activations codes{.cols = weight.cols};
  const auto bytes = static_cast<int64_t>(sizeof(ActGroup)) * codes.code_stride() * rows;
  return weight.cols == out.cols && weight.cols % kPanel == 0 && form_for(weight, rows) == kCodes &&
         bytes <= out.rows * out.cols * 4;
}

int64_t CpuBackend::copies_of(int64_t rows) const {
  const int64_t workers = pool_.size();
  return rows <= kOwnRows && rows * workers <= limits_.rows ? workers : 1;
}

void CpuBackend::prefetch_range(const Worker& worker, const CpuWeight& weight) const {
  if (weight.kind == Kind::mapped) return;
  const int64_t first = weight.panels * worker.index / pool_.size();
  const uint8_t* data = weight.panel(0, first);
  const int64_t bytes = std::min(kPrefetchBytes, (weight.panels - first) * weight.panel_bytes);
  for (int64_t at = 0; at < bytes; at += 64) __builtin_prefetch(data + at, 0, 2);
}

void CpuBackend::prepare_row(const float* x, const Norm* norm, int64_t row, const Activations& to,
                             Worker& worker) const {
  const int64_t cols = to.cols;
  float* copy = to.f32 != nullptr ? to.f32 + row * cols : worker.row;
  if (norm != nullptr && norm->weight) {
    AUTOGLM_CHECK(norm->weight.cols == cols, "norm of the wrong width");
    isa_.rms_norm(x, row_of(norm->weight, 0), norm->eps, cols, copy);
    x = copy;
  } else if (to.f32 != nullptr) {
    std::memcpy(copy, x, static_cast<size_t>(cols) * sizeof(float));
  }
  if (to.codes != nullptr) isa_.quantize(x, to.groups(), to.codes + row * to.code_stride(), to.groups(), 0);
  if (to.tiles != nullptr) copy_to_tiles(to, row);
  if (to.bf16 != nullptr) {
    uint16_t* out = to.bf16 + row * to.bf16_stride();
    isa_.to_bf16(x, cols, out);
    if (cols % 2 != 0) out[cols] = 0;
  }
}

bool by_pieces(const CpuWeight& weight, int64_t rows) { return weight.kind == Kind::quant && rows <= kChunk; }

int64_t expanded_bytes(const CpuWeight& weight) {
  if (weight.kind == Kind::mapped) return weight.cols * kPanel * 4;
  if (weight.kind != Kind::quant) return 0;
  return weight.layout.expanded().panel_bytes(weight.cols / 32);
}

Blocking CpuBackend::blocking(const Activations& x, std::span<const CpuWeight* const> together, int64_t panels,
                              int64_t rows) const {
  Blocking blocking;
  if (rows < kBlockRows) return blocking;
  blocking.parts = parts_of(rows);
  int64_t bytes = 0, fit = std::min<int64_t>(kMaxPanels, panels * blocking.parts / (kPiecesEach * pool_.size()));
  for (const CpuWeight* weight : together) {
    const int64_t expanded = expanded_bytes(*weight);
    bytes += std::max(expanded, weight->panel_bytes);
    if (expanded > 0) fit = std::min(fit, limits_.widest * kPanel * 4 / expanded);
  }
  // Half of the cache for weights, a quarter for activations; a tile of rows less than kFewRows is not worth its loop.
  blocking.panels = std::max<int64_t>(1, std::min(fit, cache_bytes_ / 2 / bytes));
  blocking.rows = std::clamp(cache_bytes_ / 4 / x.row_bytes() / kFewRows * kFewRows, kFewRows, kChunk);
  return blocking;
}

PanelProduct::PanelProduct(const IsaTable& isa, const CpuWeight& weight, int64_t matrix, int64_t panel, int64_t rows,
                           Worker& worker, uint8_t* room)
    : isa_(&isa),
      weight_(&weight),
      layout_(weight.layout),
      width_(std::min<int64_t>(kPanel, weight.rows - panel * kPanel)) {
  if (weight.kind == Kind::mapped) {
    expand_mapped(weight, matrix, panel, worker.row, reinterpret_cast<float*>(room));
    data_ = room;
    return;
  }
  data_ = weight.panel(matrix, panel);
  if (weight.kind != Kind::quant) return;
  far_ = true;
  signed_ = takes_tiles(isa, weight, rows);
  const bool decodes = isa.expand != nullptr && layout_.codes != CodeForm::byte;
  if (!signed_ && (!decodes || rows < weight.tuning.expand_rows)) return;
  room_ = room;
  layout_ = layout_.expanded();
  far_ = false;
  if (!by_pieces(weight, rows)) {
    expand(0, weight.cols / 32, weight.tuning.prefetch);
    data_ = room;
  }
}

void PanelProduct::expand(int64_t first, int64_t groups, int64_t prefetch) const {
  const int zero = weight_->zero_shift >= 0 ? 1 << weight_->zero_shift : 0;
  isa_->expand(weight_->layout, signed_ ? zero : zero - kExpandedZero, data_ + weight_->layout.panel_bytes(first),
               groups, prefetch, room_);
}

/// Few rows: a piece of the panel is decoded into the first-level cache, meets all rows and is forgotten. Memory brings
/// the next pieces meanwhile: tiles ask for them between their products, decoding would ask for all at once.
void PanelProduct::multiply_pieces(QuantPanelArgs args) const {
  const int64_t groups = args.groups;
  args.panel = room_;
  for (int64_t first = 0; first < groups; first += args.groups) {
    args.groups = std::min(kPieceGroups, groups - first);
    args.more = first > 0;
    expand(first, args.groups, signed_ ? 0 : args.prefetch);
    if (signed_) {  // behind the last piece lies the next panel
      args.ahead = data_ + weight_->layout.panel_bytes(first + args.groups);
      args.ahead_bytes = weight_->layout.panel_bytes(args.groups);
    }
    (signed_ ? isa_->gemm_signed : isa_->gemm_quant)(args);
    args.x += args.groups;
    if (args.tiles != nullptr) args.tiles += args.groups;
  }
}

void PanelProduct::multiply(const Activations& x, const int32_t* index, int64_t first, int64_t m, float* out,
                            std::span<const uint8_t> ahead) const {
  const int32_t* rows = index != nullptr ? index + first : nullptr;
  const int64_t skip = index != nullptr ? 0 : first;  // rows of x before the first
  switch (weight_->kind) {
    case Kind::quant: {
      QuantPanelArgs args{
          layout_, weight_->zero_shift, data_, x.groups(), x.codes + skip * x.code_stride(), x.code_stride(), rows, m,
          out};
      args.far = far_ && first == 0;
      args.prefetch = weight_->tuning.prefetch;
      if (x.tiles != nullptr && index == nullptr) {
        AUTOGLM_CHECK(first % ActTile::kRows == 0, "rows that begin within a tile");
        args.tiles = x.tiles + first / ActTile::kRows * x.groups();
        args.tile_groups = x.groups();
      }
      if (room_ != nullptr && room_ != data_) return multiply_pieces(args);
      if (!signed_ && !far_) {  // tiles finish a panel too soon for it
        args.ahead = ahead.data();
        args.ahead_bytes = std::ssize(ahead);
      }
      (signed_ ? isa_->gemm_signed : isa_->gemm_quant)(args);
      return;
    }
    case Kind::bf16:
      isa_->gemm_bf16({reinterpret_cast<const uint16_t*>(data_), x.bf16_stride() / 2, x.bf16 + skip * x.bf16_stride(),
                       x.bf16_stride(), rows, m, out});
      return;
    case Kind::f16:
      isa_->gemm_f16({reinterpret_cast<const uint16_t*>(data_), x.cols, x.bf16 + skip * x.bf16_stride(),
                      x.bf16_stride(), rows, m, out});
      return;
    case Kind::mapped:
    case Kind::f32:
      isa_->gemm_f32({reinterpret_cast<const float*>(data_), x.cols, x.f32 + skip * x.cols, x.cols, rows, m, out});
      return;
  }
}

}  // namespace autoglm::cpu
