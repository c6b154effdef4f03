#include "model/convert.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "format/gguf_writer.h"
#include "model/families/family.h"
#include "model/gguf_metadata.h"
#include "model/gguf_values.h"
#include "model/tensor_table.h"

namespace autoglm {
namespace {

constexpr int64_t kFileTypeF32 = 0;  // general.file_type, llama.cpp's numbers
constexpr int64_t kFileTypeF16 = 1;
constexpr int64_t kFileTypeBf16 = 32;

int64_t file_type(Type type) {
  if (type == Type::f32) return kFileTypeF32;
  if (type == Type::f16) return kFileTypeF16;
  if (type == Type::bf16) return kFileTypeBf16;
  fail(Code::bad_flag, "convert writes F32, F16 and BF16, not " + std::string(info(type).name),
       "use --type f32, f16 or bf16");
}

/// A tensor of the file to be written: one of the table, or gate and up in one ([gate | up] rows).
struct Output {
  GgufTensor tensor;
  std::vector<const LocatedTensor*> parts;  // empty: the rope factors
};

std::vector<int64_t> gguf_shape(const LocatedTensor& t, int64_t parts) {
  if (t.row->form != Form::matrix) return {t.shape.cols};
  if (t.row->shard == Shard::experts) return {t.shape.count, t.shape.rows, t.shape.cols};
  return {t.shape.rows * parts, t.shape.cols};
}

std::vector<Output> plan_outputs(const ArchSpec& spec, const std::vector<LocatedTensor>& located,
                                 const ConvertOptions& options) {
  std::vector<Output> out;
  const TensorRow& factors = tensor_row(Role::rope_factors);
  const TensorShape divisors = factors.shape(spec, -1);
  if (!divisors.none()) out.push_back({{gguf_name(spec, factors, -1), Type::f32, {divisors.cols}}, {}});
  for (const LocatedTensor& t : located) {
    const Role role = t.row->role;
    const bool matrix = t.row->form == Form::matrix && role != Role::router;
    const Type type = matrix && options.type_of ? options.type_of(t) : options.type;
    if (spec.gguf_fused_gate_up && role == Role::gate) {
      out.push_back({{gguf_name(spec, tensor_row(Role::up), t.layer), type, gguf_shape(t, 2)}, {&t}});
    } else if (spec.gguf_fused_gate_up && role == Role::up) {
      out.back().parts.push_back(&t);  // follows its gate in the table's order
    } else {
      out.push_back({{gguf_name(spec, *t.row, t.layer), matrix ? type : Type::f32, gguf_shape(t, 1)}, {&t}});
    }
  }
  return out;
}

class Converter {
 public:
  Converter(const ArchSpec& spec, const ModelSource& source, GgufWriter& writer, const ConvertOptions& options)
      : spec_(spec), source_(source), writer_(writer), options_(options), total_(writer.remaining()) {}

  void write(const Output& output) {
    if (output.parts.empty()) put(spec_.rope_origins[0].divisors, Type::f32);
    for (const LocatedTensor* part : output.parts) {
      if (part->row->form == Form::matrix && options_.encoded && part->row->role != Role::router) {
        write_encoded(*part, output.tensor.type);
      } else if (part->row->form == Form::matrix) {
        write_matrix(*part, output.tensor.type);
      } else {
        write_vector(*part);
      }
    }
  }

 private:
  // Vectors that are adjusted have GGUF's order in every source: norms, and biases of v and up.
  void write_vector(const LocatedTensor& t) {
    std::vector<float> values = gguf_vector(spec_, source_.container(), t);
    if (options_.adjust) options_.adjust(t, 0, values);
    put(values, Type::f32);
  }

  void write_matrix(const LocatedTensor& t, Type type) {
    std::vector<float> values(static_cast<size_t>(t.shape.cols));
    const GgufRows rows(spec_, source_.container(), t);
    for (int64_t row = 0; row < rows.rows(); ++row) {
      info(t.type).decode(rows.row(row).data(), values.data(), t.shape.cols);
      if (options_.adjust) options_.adjust(t, gguf_source_row(spec_, source_.container(), t, row), values);
      put(values, type);
    }
  }

  void write_encoded(const LocatedTensor& t, Type type) {
    const std::span<const std::byte> data = options_.encoded(t);
    const auto stride = static_cast<size_t>(row_bytes(type, t.shape.cols));
    const int64_t rows = t.shape.count * t.shape.rows;
    AUTOGLM_CHECK(data.size() == static_cast<size_t>(rows) * stride, "all rows of the matrix");
    for (int64_t row = 0; row < rows; ++row) {
      const int64_t from = gguf_source_row(spec_, source_.container(), t, row);
      write_bytes(data.subspan(static_cast<size_t>(from) * stride, stride));
    }
  }

  void put(std::span<const float> values, Type type) {
    const auto n = static_cast<int64_t>(values.size());
    bytes_.resize(static_cast<size_t>(row_bytes(type, n)));
    info(type).encode(values.data(), bytes_.data(), n);
    write_bytes(bytes_);
  }

  void write_bytes(std::span<const std::byte> bytes) {
    writer_.write(bytes);
    done_ += std::ssize(bytes);
    if (options_.progress && done_ - reported_ >= kProgressStep) {
      reported_ = done_;
      options_.progress(done_, total_);
    }
  }

  static constexpr int64_t kProgressStep = 16 << 20;
  const ArchSpec& spec_;
  const ModelSource& source_;
  GgufWriter& writer_;
  const ConvertOptions& options_;
  std::vector<std::byte> bytes_;
  int64_t total_ = 0;
  int64_t done_ = 0;
  int64_t reported_ = 0;
};

// Keys of a GGUF source that describe its storage or are worked out anew from the specification.
bool rewritten(const std::string& key, const std::string& architecture) {
  return key.starts_with(architecture + ".") || key.starts_with("split.") || key == "general.file_type" ||
         key == "general.quantization_version" || key == "general.architecture" || key == "general.alignment";
}

Metadata output_metadata(const ArchSpec& spec, const ModelSource& source, const ConvertOptions& options) {
  Metadata out = gguf_metadata(spec);
  for (const auto& [key, value] : options.metadata.all()) out.set(key, value);
  out.set("general.type", std::string("model"));
  out.set("general.file_type", options.type_of ? options.file_type : file_type(options.type));
  if (options.type_of) out.set("general.quantization_version", int64_t{2});
  if (source.container() == Container::gguf) {
    for (const auto& [key, value] : source.metadata().all()) {
      if (!rewritten(key, spec.architecture)) out.set(key, value);
    }
    return out;
  }
  const std::string folder = std::filesystem::absolute(source.path()).lexically_normal().filename().string();
  out.set("general.name", options.name.empty() ? folder : options.name);
  for (const auto& [key, value] : options.tokenizer.all()) out.set(key, value);
  // llama.cpp loads a file without a vocabulary only if it says so.
  if (!out.has("tokenizer.ggml.model")) out.set("tokenizer.ggml.model", std::string("none"));
  return out;
}

}  // namespace

int64_t convert_model(const ModelSource& source, const std::filesystem::path& path, const ConvertOptions& options) {
  if (!options.type_of) file_type(options.type);  // refuses other types before anything is read
  const ArchSpec spec = read_spec(source);
  const auto located = locate_tensors(spec, source);
  const auto outputs = plan_outputs(spec, located, options);
  std::vector<GgufTensor> tensors;
  tensors.reserve(outputs.size());
  for (const Output& output : outputs) tensors.push_back(output.tensor);
  GgufWriter writer(path, output_metadata(spec, source, options), tensors);
  Converter converter(spec, source, writer, options);
  for (const Output& output : outputs) converter.write(output);
  writer.finish();
  return static_cast<int64_t>(std::filesystem::file_size(path));
}

}  // namespace autoglm
