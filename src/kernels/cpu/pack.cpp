#include "kernels/cpu/pack.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/mmap.h"
#include "base/pool.h"
#include "format/quant_groups.h"

namespace autoglm::cpu {
namespace {

/// Float32 matrices up to this size are packed on the exact path too: a router is small and read for every token.
constexpr int64_t kSmallFloat = 8 << 20;

int zero_shift_of(const GroupInfo& form, bool nibble) {
  if (!nibble) return 7;
  if (form.code_min == 0) return -1;
  AUTOGLM_CHECK(form.code_min == -4 || form.code_min == -8, "a nibble type's smallest code is 0, -4 or -8");
  return form.code_min == -4 ? 2 : 3;
}

/// A row's codes, scales and minima while it is packed.
struct RowForm {
  explicit RowForm(int64_t cols)
      : codes(static_cast<size_t>(cols)), scales(static_cast<size_t>(cols / 16)), minima(scales.size()) {}
  std::vector<int8_t> codes;
  std::vector<float> scales;
  std::vector<float> minima;
};

/// Float16 bits of value * factor; what would be a float16 denormal (2^-29 of the row's largest) becomes 0.
uint16_t scaled_f16(float value, float factor) {
  const uint16_t bits = f32_to_f16(value * factor);
  return (bits & 0x7c00u) == 0 ? uint16_t{0} : bits;
}

void pack_codes(const CpuWeight& weight, const int8_t* codes, int row, uint8_t* panel) {
  const int zero = weight.zero_shift < 0 ? 0 : 1 << weight.zero_shift;
  const int group_bytes = weight.layout.group_bytes();
  for (int64_t g = 0; g < weight.cols / 32; ++g, codes += 32) {
    uint8_t* out = panel + g * group_bytes + row * 4;
    if (weight.layout.nibble) {
      for (int i = 0; i < 16; ++i) {
        const int low = codes[i] + zero, high = codes[i + 16] + zero;
        out[i / 4 * 128 + i % 4] = static_cast<uint8_t>(low | (high << 4));
      }
    } else {
      for (int i = 0; i < 32; ++i) out[i / 4 * 128 + i % 4] = static_cast<uint8_t>(codes[i] + zero);
    }
  }
}

/// Scales relative to a power of two by row, so that float16 holds them whatever the file's range. Returns that power.
float pack_scales(const CpuWeight& weight, const RowForm& form, int row, uint8_t* panel) {
  const int halves = weight.layout.group16 ? 2 : 1;
  const int64_t n = weight.cols / 32 * halves;
  float largest = 0.0f;
  bool finite = true;
  for (int64_t i = 0; i < n; ++i) {
    finite = finite && std::isfinite(form.scales[i]) && std::isfinite(form.minima[i]);
    largest = std::max({largest, std::fabs(form.scales[i]), std::fabs(form.minima[i])});
  }
  if (!finite) return std::numeric_limits<float>::quiet_NaN();  // scales stay 0: the row's products are NaN
  if (largest == 0.0f) return 1.0f;
  int exponent = 0;
  std::frexp(largest, &exponent);
  exponent = std::clamp(exponent, -100, 127);
  const float factor = std::ldexp(1.0f, 15 - exponent);
  for (int64_t i = 0; i < n; ++i) {
    uint8_t* group = panel + i / halves * weight.layout.group_bytes() + weight.layout.code_bytes();
    auto* scales = reinterpret_cast<uint16_t*>(group) + i % halves * kPanel + row;
    scales[0] = scaled_f16(form.scales[i], factor);
    if (weight.layout.minima) scales[halves * kPanel] = scaled_f16(form.minima[i], factor);
  }
  return std::ldexp(1.0f, exponent - 15);
}

void pack_quant_row(const CpuWeight& weight, const std::byte* source, int row, RowForm& form, uint8_t* panel,
                    float* row_scales) {
  decode_groups(weight.type, source, weight.cols, form.codes.data(), form.scales.data(), form.minima.data());
  pack_codes(weight, form.codes.data(), row, panel);
  row_scales[row] = pack_scales(weight, form, row, panel);
}

void pack_float_row(const CpuWeight& weight, const std::byte* source, int row, uint8_t* panel) {
  for (int64_t c = 0; c < weight.cols; ++c) {
    if (weight.kind == Kind::f32) {
      std::memcpy(panel + (c * kPanel + row) * 4, source + 4 * c, 4);
    } else if (weight.kind == Kind::f16) {
      std::memcpy(panel + (c * kPanel + row) * 2, source + 2 * c, 2);
    } else {
      std::memcpy(panel + ((c / 2 * kPanel + row) * 2 + c % 2) * 2, source + 2 * c, 2);
    }
  }
}

Kind kind_of(const WeightSource& source, Precision precision) {
  if (source.type == Type::f32) {
    const bool small = source.count * source.rows * source.cols * 4 <= kSmallFloat;
    return precision == Precision::automatic || small ? Kind::f32 : Kind::mapped;
  }
  if (precision == Precision::f32) return Kind::mapped;
  if (info(source.type).quantized) return Kind::quant;
  return source.type == Type::bf16 ? Kind::bf16 : Kind::f16;
}

}  // namespace

CpuWeight plan_weight(const WeightSource& source, Precision precision) {
  const TypeInfo& type = info(source.type);
  if (!type.quantized && source.type != Type::f32 && source.type != Type::f16 && source.type != Type::bf16) {
    fail(Code::unsupported_model, "tensor '" + std::string(source.name) + "' has type " + std::string(type.name) +
                                      ", which is not a weight type");
  }
  CpuWeight weight;
  weight.kind = kind_of(source, precision);
  weight.type = source.type;
  weight.rows = source.rows;
  weight.cols = source.cols;
  weight.count = source.count;
  weight.panels = round_up(source.rows, kPanel) / kPanel;
  weight.row_size = row_bytes(source.type, source.cols);
  weight.source = source.data.data();
  switch (weight.kind) {
    case Kind::mapped:
      break;
    case Kind::f32:
      weight.panel_bytes = source.cols * kPanel * 4;
      break;
    case Kind::f16:
      weight.panel_bytes = source.cols * kPanel * 2;
      break;
    case Kind::bf16:
      weight.panel_bytes = round_up(source.cols, 2) * kPanel * 2;
      break;
    case Kind::quant: {
      const GroupInfo form = group_info(source.type);
      weight.layout.nibble = form.code_max - form.code_min <= 15;
      weight.layout.group16 = form.group == 16;
      weight.layout.minima = form.has_minimum;
      weight.zero_shift = zero_shift_of(form, weight.layout.nibble);
      weight.panel_bytes = source.cols / 32 * weight.layout.group_bytes();
      break;
    }
  }
  return weight;
}

int64_t packed_bytes(const CpuWeight& weight) {
  const int64_t panels = weight.count * weight.panels;
  return panels * (weight.panel_bytes + (weight.kind == Kind::quant ? kPanel * 4 : 0));
}

std::string_view layout_name(const CpuWeight& weight) {
  switch (weight.kind) {
    case Kind::mapped:
      return "mapped";
    case Kind::f32:
      return "f32";
    case Kind::f16:
      return "f16";
    case Kind::bf16:
      return "bf16";
    case Kind::quant:
      break;
  }
  static constexpr std::string_view names[8] = {"byte32",   "byte32m",   "byte16",   "byte16m",
                                                "nibble32", "nibble32m", "nibble16", "nibble16m"};
  return names[(weight.layout.nibble ? 4 : 0) + (weight.layout.group16 ? 2 : 0) + (weight.layout.minima ? 1 : 0)];
}

/// The file's bytes of panels [begin, end), counted over all matrices.
std::span<const std::byte> source_of(const CpuWeight& weight, int64_t begin, int64_t end) {
  const auto row = [&](int64_t panel) {
    return panel / weight.panels * weight.rows + std::min(panel % weight.panels * kPanel, weight.rows);
  };
  const int64_t first = row(begin) * weight.row_size;
  return {weight.source + first, static_cast<size_t>(row(end) * weight.row_size - first)};
}

CpuWeight pack_weight(const WeightSource& source, Precision precision, WorkerPool& pool) {
  CpuWeight weight = plan_weight(source, precision);
  AUTOGLM_CHECK(std::ssize(source.data) == source.count * source.rows * weight.row_size,
                "weight data has the wrong size");
  if (weight.kind == Kind::mapped) return weight;
  const int64_t panels = weight.count * weight.panels;
  weight.packed = Pages(panels * weight.panel_bytes, true);
  if (weight.kind == Kind::quant) weight.row_scales = Pages(panels * kPanel * 4);
  pool.parallel_for(panels, 8, [&](int64_t begin, int64_t end) {
    RowForm form(weight.kind == Kind::quant ? weight.cols : 0);
    for (int64_t p = begin; p < end; ++p) {
      const int64_t matrix = p / weight.panels, first = p % weight.panels * kPanel;
      uint8_t* panel = weight.packed.data() + p * weight.panel_bytes;
      for (int row = 0; row < kPanel && first + row < weight.rows; ++row) {
        const std::byte* data = weight.source + (matrix * weight.rows + first + row) * weight.row_size;
        if (weight.kind == Kind::quant) {
          auto* scales = reinterpret_cast<float*>(weight.row_scales.data()) + p * kPanel;
          pack_quant_row(weight, data, row, form, panel, scales);
        } else {
          pack_float_row(weight, data, row, panel);
        }
      }
    }
    // Dropped piece by piece, so that a large matrix is never resident in both forms.
    if (source.mapped) forget_pages(source_of(weight, begin, end));
  });
  return weight;
}

void expand_mapped(const CpuWeight& weight, int64_t matrix, int64_t panel, float* row, float* out) {
  const int64_t first = panel * kPanel;
  for (int r = 0; r < kPanel; ++r) {
    if (first + r < weight.rows) {
      const std::byte* data = weight.source + (matrix * weight.rows + first + r) * weight.row_size;
      info(weight.type).decode(data, row, weight.cols);
    } else {
      std::fill_n(row, weight.cols, 0.0f);
    }
    for (int64_t c = 0; c < weight.cols; ++c) out[c * kPanel + r] = row[c];
  }
}

}  // namespace autoglm::cpu
