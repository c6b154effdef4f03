// Models with random weights: shapes of known models for `bench --shape`, and small ones for tests.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/pool.h"
#include "format/model_source.h"
#include "model/arch_spec.h"

namespace autoglm {

/// A type for each role; `matrix` for those that are not named.
struct TypeRecipe {
  Type matrix = Type::f32;
  std::map<Role, Type> roles;
  Type tied = Type::f32;           // an embedding that is also the head
  std::map<Type, Type> fallbacks;  // where the columns do not fill blocks
};

struct ModelShape {
  std::string name;
  std::string config;  // config.json
};

/// What bench/shapes.yaml holds. Errors: bad_config naming what is wrong.
class ShapeTable {
 public:
  explicit ShapeTable(std::string_view yaml);
  /// The table that was built into the program.
  static ShapeTable built_in();
  /// Errors: bad_flag that names the nearest.
  ModelShape shape(std::string_view name) const;
  TypeRecipe recipe(std::string_view name) const;
  const std::vector<ModelShape>& shapes() const { return shapes_; }
  std::vector<std::string> recipe_names() const;

 private:
  std::vector<ModelShape> shapes_;
  std::vector<std::pair<std::string, TypeRecipe>> recipes_;
};

/// The specification of a shape. Errors: those of a family's reader.
ArchSpec shape_spec(const ModelShape& shape);

/// A GGUF in memory with this configuration and random weights: about normal, scaled so that activations keep their
/// size, blocks of quantized types with realistic codes and scales. The same seed gives the same bytes on any number of
/// threads. Takes what the tensors take; ask plan() first. Errors: those of a family's reader.
std::unique_ptr<ModelSource> random_model(const ModelShape& shape, const TypeRecipe& recipe, uint64_t seed,
                                          WorkerPool& pool);

}  // namespace autoglm
