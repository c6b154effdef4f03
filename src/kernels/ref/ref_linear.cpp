// Weights, the one matrix product, and the phases that are little more than it.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "format/quant_groups.h"
#include "kernels/quantize.h"
#include "kernels/ref/ref_backend.h"
#include "kernels/ref/ref_ops.h"

namespace autoglm::ref {
namespace {

enum class Arithmetic { exact, bf16, int8 };

/// What Weight::storage points to: the file's own bytes.
struct RefWeight {
  Type type;
  Arithmetic arithmetic;
  int64_t row_size;  // bytes
  const std::byte* data;
};

const RefWeight& storage_of(const Weight& weight) {
  AUTOGLM_CHECK(weight, "empty weight");
  return *static_cast<const RefWeight*>(weight.storage.get());
}

Arithmetic arithmetic_of(Type type, Precision precision) {
  if (precision == Precision::f32) return Arithmetic::exact;
  if (info(type).quantized) return Arithmetic::int8;
  return type == Type::f16 || type == Type::bf16 ? Arithmetic::bf16 : Arithmetic::exact;
}

/// Activations in the int8 form of kernels/quantize.h.
struct Codes {
  explicit Codes(const Rows& x)
      : groups(x.cols / kActivationGroup),
        codes(x.values.size()),
        scales(static_cast<size_t>(x.rows * groups)),
        cols(x.cols) {
    AUTOGLM_CHECK(x.cols % kActivationGroup == 0, "a quantized weight's columns are a multiple of 32");
    for (int64_t g = 0; g < x.rows * groups; ++g) {
      scales[g] =
          quantize_row(x.values.data() + g * kActivationGroup, kActivationGroup, codes.data() + g * kActivationGroup);
    }
  }
  int64_t groups;  // a row
  std::vector<int8_t> codes;
  std::vector<float> scales;
  int64_t cols;
};

Rows multiply_codes(const RefWeight& weight, const std::byte* data, int64_t rows, const Rows& x) {
  const Codes input(x);
  const int group = group_info(weight.type).group;
  std::vector<int8_t> codes(static_cast<size_t>(x.cols));
  std::vector<float> scales(static_cast<size_t>(x.cols / group)), minima(scales.size());
  Rows out(x.rows, rows);
  for (int64_t r = 0; r < rows; ++r) {
    decode_groups(weight.type, data + r * weight.row_size, x.cols, codes.data(), scales.data(), minima.data());
    for (int64_t i = 0; i < x.rows; ++i) {
      double sum = 0.0;
      for (int64_t g = 0; g < x.cols / group; ++g) {
        int32_t dot = 0, total = 0;
        for (int64_t c = g * group; c < (g + 1) * group; ++c) {
          const int code = int{input.codes[static_cast<size_t>(i * x.cols + c)]};
          dot += code * codes[c];
          total += code;
        }
        const double scale = input.scales[static_cast<size_t>(i * input.groups + g * group / kActivationGroup)];
        sum += scale * (static_cast<double>(scales[g]) * dot - static_cast<double>(minima[g]) * total);
      }
      out[i][r] = static_cast<float>(sum);
    }
  }
  return out;
}

void add_bias(const Buffer* bias, Rows& rows) {
  if (bias == nullptr || !*bias) return;
  const float* b = row_of(*bias, 0);
  for (int64_t r = 0; r < rows.rows; ++r) {
    for (int64_t c = 0; c < rows.cols; ++c) rows[r][c] += b[c];
  }
}

}  // namespace

int64_t RefBackend::weight_bytes(const WeightSource&, Precision) const { return 0; }

Weight RefBackend::load(const WeightSource& source, Precision precision) {
  const TypeInfo& type = info(source.type);
  const bool a_weight =
      type.quantized || source.type == Type::f32 || source.type == Type::f16 || source.type == Type::bf16;
  if (!a_weight) {
    fail(Code::unsupported_model, "tensor '" + std::string(source.name) + "' has type " + std::string(type.name) +
                                      ", which is not a weight type");
  }
  const int64_t row_size = row_bytes(source.type, source.cols);
  AUTOGLM_CHECK(std::ssize(source.data) == source.count * source.rows * row_size, "weight data has the wrong size");
  Weight weight;
  weight.rows = source.rows;
  weight.cols = source.cols;
  weight.count = source.count;
  weight.type = source.type;
  weight.layout = "file";
  weight.storage = std::make_shared<RefWeight>(
      RefWeight{source.type, arithmetic_of(source.type, precision), row_size, source.data.data()});
  return weight;
}

void decode_row(const Weight& weight, int64_t row, float* out) {
  const RefWeight& storage = storage_of(weight);
  AUTOGLM_CHECK(row >= 0 && row < weight.rows * weight.count, "row outside its weight");
  info(storage.type).decode(storage.data + row * storage.row_size, out, weight.cols);
}

Rows multiply_head(const Weight& weight, const Rows& x) {
  Rows out = multiply(weight, 0, x);
  if (storage_of(weight).arithmetic != Arithmetic::int8) return out;
  const Codes codes(x);
  Rows rest = x;
  for (size_t i = 0; i < rest.values.size(); ++i) {
    rest.values[i] -= codes.scales[i / kActivationGroup] * static_cast<float>(codes.codes[i]);
  }
  const Rows second = multiply(weight, 0, rest);
  for (size_t i = 0; i < out.values.size(); ++i) out.values[i] += second.values[i];
  return out;
}

Rows multiply(const Weight& weight, int64_t which, const Rows& x) {
  AUTOGLM_CHECK(which >= 0 && which < weight.count && weight.cols == x.cols, "product of the wrong shape");
  const RefWeight& storage = storage_of(weight);
  if (storage.arithmetic == Arithmetic::int8) {
    return multiply_codes(storage, storage.data + which * weight.rows * storage.row_size, weight.rows, x);
  }
  Rows input = x;
  if (storage.arithmetic == Arithmetic::bf16) {
    for (float& value : input.values) value = bf16_to_f32(f32_to_bf16(value));
  }
  std::vector<float> row(static_cast<size_t>(x.cols));
  Rows out(x.rows, weight.rows);
  for (int64_t r = 0; r < weight.rows; ++r) {
    decode_row(weight, which * weight.rows + r, row.data());
    for (int64_t i = 0; i < x.rows; ++i) {
      double sum = 0.0;
      for (int64_t c = 0; c < x.cols; ++c) sum += static_cast<double>(row[c]) * input[i][c];
      out[i][r] = static_cast<float>(sum);
    }
  }
  return out;
}

void normalize(const Norm* norm, float* values, int64_t n) {
  if (norm == nullptr || !norm->weight) return;
  AUTOGLM_CHECK(norm->weight.cols == n, "norm of the wrong width");
  const float* weight = row_of(norm->weight, 0);
  double squares = 0.0;
  for (int64_t i = 0; i < n; ++i) squares += static_cast<double>(values[i]) * values[i];
  const double factor = 1.0 / std::sqrt(squares / static_cast<double>(n) + norm->eps);
  for (int64_t i = 0; i < n; ++i) values[i] = static_cast<float>(values[i] * factor * weight[i]);
}

void normalize(const Norm* norm, Rows& rows) {
  for (int64_t r = 0; r < rows.rows; ++r) normalize(norm, rows[r], rows.cols);
}

float activate(Activation activation, float x) {
  const double v = x;
  if (activation == Activation::silu) return static_cast<float>(v / (1.0 + std::exp(-v)));
  const double inner = 0.79788456080286535588 * (v + 0.044715 * v * v * v);  // sqrt(2 / pi)
  return static_cast<float>(0.5 * v * (1.0 + std::tanh(inner)));
}

Rows gated(const Weight& gate, const Weight& up, int64_t which, const Rows& x, Activation activation,
           const Buffer* gate_bias, const Buffer* up_bias) {
  Rows out = multiply(gate, which, x);
  add_bias(gate_bias, out);
  Rows factor = multiply(up, which, x);
  add_bias(up_bias, factor);
  for (size_t i = 0; i < out.values.size(); ++i) out.values[i] = activate(activation, out.values[i]) * factor.values[i];
  return out;
}

void RefBackend::project(const ProjectArgs& args) {
  AUTOGLM_CHECK(!args.projections.empty(), "nothing to project to");
  Rows x = take(*args.x, args.rows, args.in_offset, args.projections[0].weight->cols);
  normalize(args.norm, x);
  for (const Projection& projection : args.projections) {
    Rows product = multiply(*projection.weight, 0, x);
    add_bias(projection.bias, product);
    AUTOGLM_CHECK(product.cols <= projection.out->cols, "product wider than its buffer");
    for (int64_t r = 0; r < args.rows; ++r) std::copy_n(product[r], product.cols, row_of(*projection.out, r));
  }
}

void RefBackend::project_add(const ProjectAddArgs& args) {
  Rows product = multiply(*args.weight, 0, take(*args.x, args.rows, 0, args.weight->cols));
  add_bias(args.bias, product);
  normalize(args.post_norm, product);
  for (int64_t r = 0; r < args.rows; ++r) {
    float* residual = row_of(*args.residual, r);
    for (int64_t c = 0; c < product.cols; ++c) residual[c] += product[r][c] * args.scale;
  }
}

void RefBackend::gate_up(const GateUpArgs& args) {
  Rows x = take(*args.x, args.rows, 0, args.gate->cols);
  normalize(args.norm, x);
  const Rows out = gated(*args.gate, *args.up, 0, x, args.activation, args.gate_bias, args.up_bias);
  for (int64_t r = 0; r < args.rows; ++r) std::copy_n(out[r], out.cols, row_of(*args.out, r));
}

}  // namespace autoglm::ref
