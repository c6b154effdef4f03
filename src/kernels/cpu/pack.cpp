#include "kernels/cpu/pack.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/mmap.h"
#include "base/pool.h"
#include "format/quant_groups.h"
#include "format/types/iq4_nl.h"

namespace autoglm::cpu {
namespace {

/// Float32 matrices up to this size are packed on the exact path too: a router is small and read for every token.
constexpr int64_t kSmallFloat = 8 << 20;

static_assert(std::ranges::equal(kCodeBook, types::kIq4Table));

CodeForm code_form(Type type, int bits) {
  if (type == Type::iq4_nl || type == Type::iq4_xs) return CodeForm::book;
  switch (bits) {
    case 2:
      return CodeForm::two;
    case 3:
      return CodeForm::three;
    case 4:
      return CodeForm::nibble;
    case 5:
      return CodeForm::five;
    case 6:
      return CodeForm::six;
    default:
      return CodeForm::byte;
  }
}

/// Index into kFileLayouts.
size_t index_of(const QuantLayout& layout) {
  const auto* found = std::ranges::find(kFileLayouts, layout);
  AUTOGLM_CHECK(found != std::end(kFileLayouts), "a type's layout is one of kFileLayouts");
  return static_cast<size_t>(found - kFileLayouts);
}

QuantLayout layout_of(Type type) {
  const GroupInfo form = group_info(type);
  const QuantLayout layout{code_form(type, form.bits), form.integer_scales ? ScaleForm::integer : ScaleForm::half,
                           form.group == 16, form.has_minimum};
  return kFileLayouts[index_of(layout)];
}

/// The zero point as a power of two; -1: none.
int zero_shift_of(Type type, CodeForm codes) {
  if (codes == CodeForm::byte || codes == CodeForm::book) return 7;
  const int smallest = group_info(type).code_min;
  if (smallest == 0) return -1;
  const int shift = std::countr_zero(static_cast<unsigned>(-smallest));
  AUTOGLM_CHECK(smallest == -(1 << shift), "a type's smallest code is 0 or -2^n");
  return shift;
}

/// A row's codes, scales and minima while it is packed.
struct RowForm {
  explicit RowForm(int64_t cols)
      : codes(static_cast<size_t>(cols)),
        scales(static_cast<size_t>(cols / 16)),
        minima(scales.size()),
        integer_scales(scales.size()),
        integer_minima(scales.size()),
        d(static_cast<size_t>(cols / 256 + 1)),
        dmin(d.size()) {}
  std::vector<int8_t> codes;
  std::vector<float> scales;  // of a type with ScaleForm::half
  std::vector<float> minima;
  std::vector<int8_t> integer_scales;
  std::vector<int8_t> integer_minima;
  std::vector<uint16_t> d;
  std::vector<uint16_t> dmin;
};

/// An infinite scale would make a row infinite or NaN, by its values: it is NaN in every case.
uint16_t finite_or_nan(uint16_t half) { return (half & 0x7c00u) == 0x7c00u ? uint16_t{0x7e00} : half; }

using Quads = std::array<uint32_t, 8>;  // 32 unsigned codes, four a word

/// Codes of `bits` bits from bit `from` on, `each` quads a line: quad q goes to line q / each, or with `strided` to
/// line q % (8 / each).
void pack_lines(const Quads& quads, int from, int bits, int each, bool strided, uint8_t* out) {
  const uint32_t mask = 0x01010101u * ((1u << bits) - 1);
  const int lines = 8 / each;
  for (int line = 0; line < lines; ++line) {
    uint32_t word = 0;
    for (int k = 0; k < each; ++k) {
      const int q = strided ? k * lines + line : line * each + k;
      word |= (quads[static_cast<size_t>(q)] >> from & mask) << (k * bits);
    }
    std::memcpy(out + line * 128, &word, sizeof(word));
  }
}

void pack_group(CodeForm form, int low_bytes, const Quads& quads, uint8_t* out) {
  uint8_t* high = out + low_bytes;
  switch (form) {
    case CodeForm::byte:
      return pack_lines(quads, 0, 8, 1, false, out);
    case CodeForm::nibble:
    case CodeForm::book:
      return pack_lines(quads, 0, 4, 2, true, out);
    case CodeForm::five:
      pack_lines(quads, 0, 4, 2, true, out);
      return pack_lines(quads, 4, 1, 8, false, high);
    case CodeForm::six:
      pack_lines(quads, 0, 4, 2, true, out);
      return pack_lines(quads, 4, 2, 4, false, high);
    case CodeForm::two:
      return pack_lines(quads, 0, 2, 4, false, out);
    case CodeForm::three:
      pack_lines(quads, 0, 2, 4, false, out);
      return pack_lines(quads, 2, 1, 8, false, high);
  }
}

/// The index of a value in kCodeBook; the value as a byte is the index here.
constexpr std::array<uint8_t, 256> book_indices() {
  std::array<uint8_t, 256> indices{};
  for (size_t i = 0; i < std::size(kCodeBook); ++i)
    indices[static_cast<uint8_t>(kCodeBook[i])] = static_cast<uint8_t>(i);
  return indices;
}

void pack_codes(const CpuWeight& weight, const int8_t* codes, int row, uint8_t* panel) {
  static constexpr std::array<uint8_t, 256> kBookIndex = book_indices();
  const QuantLayout& layout = weight.layout;
  const int zero = weight.zero_shift < 0 ? 0 : 1 << weight.zero_shift;
  for (int64_t g = 0; g < weight.cols / 32; ++g, codes += 32) {
    std::array<uint8_t, 32> bytes;
    if (layout.codes == CodeForm::book) {
      for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = kBookIndex[static_cast<uint8_t>(codes[i])];
    } else {
      for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(codes[i] + zero);
    }
    uint8_t* group = panel + g / layout.block_groups() * layout.block_bytes() + layout.codes_at() +
                     g % layout.block_groups() * layout.code_bytes();
    pack_group(layout.codes, layout.low_bytes(), std::bit_cast<Quads>(bytes), group + row * 4);
  }
}

/// Scales or minima of a row, one a half group, into the place `at` of each block.
void pack_halves(const CpuWeight& weight, const std::vector<float>& values, int at, int row, uint8_t* panel) {
  const int halves = weight.layout.halves();
  for (int64_t i = 0; i < weight.cols / 32 * halves; ++i) {
    const uint16_t bits = finite_or_nan(f32_to_f16(values[static_cast<size_t>(i)]));
    std::memcpy(panel + i / halves * weight.layout.block_bytes() + at + (i % halves * kPanel + row) * 2, &bits, 2);
  }
}

/// The same for integers, with their float16 factors into the place `factors_at`.
void pack_integers(const CpuWeight& weight, const std::vector<int8_t>& values, const std::vector<uint16_t>& factors,
                   int at, int factors_at, int row, uint8_t* panel) {
  const int each = weight.layout.block_groups() * weight.layout.halves();
  for (int64_t b = 0; b < weight.cols / 256; ++b) {
    uint8_t* block = panel + b * weight.layout.block_bytes();
    for (int i = 0; i < each; ++i)
      std::memcpy(block + at + i * kPanel + row, &values[static_cast<size_t>(b * each + i)], 1);
    const uint16_t bits = finite_or_nan(factors[static_cast<size_t>(b)]);
    std::memcpy(block + factors_at + row * 2, &bits, 2);
  }
}

void pack_quant_row(const CpuWeight& weight, const std::byte* source, int row, RowForm& form, uint8_t* panel) {
  const QuantLayout& layout = weight.layout;
  if (layout.scales == ScaleForm::integer) {
    decode_integers(
        weight.type, source, weight.cols,
        {form.codes.data(), form.integer_scales.data(), form.integer_minima.data(), form.d.data(), form.dmin.data()});
    pack_integers(weight, form.integer_scales, form.d, layout.scales_at(), 0, row, panel);
    if (layout.minima) {
      pack_integers(weight, form.integer_minima, form.dmin, layout.minima_at(), 2 * kPanel, row, panel);
    }
  } else {
    decode_groups(weight.type, source, weight.cols, form.codes.data(), form.scales.data(), form.minima.data());
    pack_halves(weight, form.scales, layout.scales_at(), row, panel);
    if (layout.minima) pack_halves(weight, form.minima, layout.minima_at(), row, panel);
  }
  pack_codes(weight, form.codes.data(), row, panel);
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
    case Kind::quant:
      weight.layout = layout_of(source.type);
      weight.zero_shift = zero_shift_of(source.type, weight.layout.codes);
      weight.panel_bytes = weight.layout.panel_bytes(source.cols / 32);
      break;
  }
  return weight;
}

int64_t packed_bytes(const CpuWeight& weight) {
  return weight.count * weight.panels * weight.panel_bytes;  // none where it is mapped
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
  static constexpr std::string_view names[] = {"byte32", "nibble32", "nibble32m", "five32",     "five32m",
                                               "book32", "two16mi",  "three16i",  "nibble32mi", "five32mi",
                                               "six16i", "book32i",  "byte32m"};
  static_assert(std::size(names) == std::size(kFileLayouts));
  return names[index_of(weight.layout)];
}

/// The file's bytes of panels [begin, end), counted over all matrices.
std::span<const std::byte> source_of(const CpuWeight& weight, int64_t begin, int64_t end) {
  const auto row = [&](int64_t panel) {
    return panel / weight.panels * weight.rows + std::min(panel % weight.panels * kPanel, weight.rows);
  };
  const int64_t first = row(begin) * weight.row_size;
  return {weight.source + first, static_cast<size_t>(row(end) * weight.row_size - first)};
}

void pack_weight(const CpuWeight& weight, const WeightSource& source, WorkerPool& pool, uint8_t* out) {
  AUTOGLM_CHECK(std::ssize(source.data) == source.count * source.rows * weight.row_size,
                "weight data has the wrong size");
  pool.parallel_for(weight.count * weight.panels, 8, [&](int64_t begin, int64_t end) {
    const FlushDenormals flush;
    RowForm form(weight.kind == Kind::quant ? weight.cols : 0);
    for (int64_t p = begin; p < end; ++p) {
      const int64_t matrix = p / weight.panels, first = p % weight.panels * kPanel;
      uint8_t* panel = out + p * weight.panel_bytes;
      for (int row = 0; row < kPanel && first + row < weight.rows; ++row) {
        const std::byte* data = weight.source + (matrix * weight.rows + first + row) * weight.row_size;
        if (weight.kind == Kind::quant) {
          pack_quant_row(weight, data, row, form, panel);
        } else {
          pack_float_row(weight, data, row, panel);
        }
      }
    }
    // Dropped piece by piece, so that a large matrix is never resident in both forms.
    if (source.mapped) forget_pages(source_of(weight, begin, end));
  });
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
