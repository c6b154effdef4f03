// Weights in the layouts that the kernels read (isa_table.h), made once from the file's rows.
//
// Every quantized type maps to one of the quantized layouts by its integer form (format/quant_groups.h): bits of a
// code, scales by 32 or 16 columns, float16 or integers times a float16; minima where the type has them. A new type is
// a decoder in format and needs nothing here, unless no type before it has its form (kFileLayouts).
#pragma once

#include <string_view>

#include "kernels/backend.h"
#include "kernels/cpu/isa_table.h"
#include "kernels/cpu/memory.h"

namespace autoglm::cpu {

/// Raise it with every change of a layout, of the order of weights in memory, or of a value that packing computes:
/// packs on disk of another version are not read (docs/PERFORMANCE.md, "Weights in memory").
inline constexpr std::string_view kPackVersion = "panel32-3";

enum class Kind : uint8_t { mapped, quant, bf16, f16, f32 };

/// What Weight::storage points to.
struct CpuWeight {
  Kind kind = Kind::mapped;
  Type type = Type::f32;
  QuantLayout layout;   // quant
  int zero_shift = -1;  // quant
  int64_t rows = 0;     // of one matrix
  int64_t cols = 0;
  int64_t count = 1;
  int64_t panels = 0;  // of one matrix
  int64_t panel_bytes = 0;
  int64_t row_size = 0;  // bytes of a row in the file
  const std::byte* source = nullptr;
  ShapeTuning tuning;
  const uint8_t* packed = nullptr;  // count * panels panels
  Pages own;                        // where they lie unless they were given

  const uint8_t* panel(int64_t matrix, int64_t index) const { return packed + (matrix * panels + index) * panel_bytes; }
};

/// The layout that a source gets: everything but the memory. Throws Error where no kernel takes the type.
CpuWeight plan_weight(const WeightSource& source, Precision precision);

/// Bytes of the packed form; 0 for what is read where it is mapped.
int64_t packed_bytes(const CpuWeight& weight);

/// "nibble32m" (4 bits, scales of 32 columns, minima), "six16i" (6 bits, integer scales of 16 columns), "bf16",
/// "mapped", ...
std::string_view layout_name(const CpuWeight& weight);

/// Packs on all workers of the pool into `out`: packed_bytes() bytes, all zero.
void pack_weight(const CpuWeight& weight, const WeightSource& source, WorkerPool& pool, uint8_t* out);

/// One panel of a mapped weight as float32 [cols][32]; `row` holds cols floats.
void expand_mapped(const CpuWeight& weight, int64_t matrix, int64_t panel, float* row, float* out);

}  // namespace autoglm::cpu
