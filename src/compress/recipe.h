// A recipe: which type each tensor gets. Readable and editable YAML:
//
//   version: 1
//   default: Q4_0            # of matrices that nothing below names
//   scales: row              # INT8 by channel: tensors of Q8_0 and Q8_A that no line names have one scale along each
//                            # row; may be left out
//   scaling: awq             # of channels (compress/scaling.h), or none; may be left out: as --scaling says
//   tensors:                 # GGUF names; * stands for any text; the first line that fits counts
//     token_embd.weight: Q8_0
//     blk.*.ffn_down.weight: Q5_0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "compress/scaling.h"
#include "format/type.h"

namespace autoglm {

struct Recipe {
  Type matrix = Type::f16;
  bool row_scales = false;
  std::optional<Scaling> scaling{};
  std::vector<std::pair<std::string, Type>> tensors;

  /// Of the tensor with this GGUF name, before fallbacks.
  Type type_of(std::string_view name) const;
  /// Whether it has one scale along each row.
  bool row_scaled(std::string_view name) const;
  std::string yaml() const;
};

/// Errors: bad_config, naming the line. Unknown keys, unknown types and types that are no weights are refused.
Recipe parse_recipe(std::string_view yaml);

/// Whether `name` fits `pattern`, in which * stands for any text.
bool matches(std::string_view pattern, std::string_view name);

/// The recipe of `quantize --type`: everything in that type, but embedding and head in one of at least 6 bits, because
/// every token passes through both.
Recipe uniform_recipe(Type type);

/// The same by the name that users write: a type's, INT8 (Q8_0 with one scale along each row; embedding and
/// head, whose rows are tokens, a scale for each block) or INT8_ASYM (the same with Q8_A and offsets). Error bad_flag
/// with the names that exist.
Recipe recipe_of_name(const std::string& name);

/// `type`, or where rows of `columns` do not fill its blocks the nearest type that takes them and is no coarser: Q2_K,
/// Q3_K, IQ4_XS and Q4_K become IQ4_NL, Q5_K becomes Q5_0, Q6_K Q8_0; columns that are no multiple of 32 become F16.
Type type_for_columns(Type type, int64_t columns);

/// llama.cpp's general.file_type of a file that is mostly of this type.
int64_t gguf_file_type(Type type);

/// Whether a recipe may name it; all that it may, coarsest first.
bool is_target(Type type);
std::string type_names();

}  // namespace autoglm
