// Models with random weights: shapes of known models for `bench --shape`, and small ones for tests.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
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
  std::map<Role, Type> better;     // in about half of the layers: those that llama.cpp gives more bits
  Type tied = Type::f32;           // an embedding that is also the head
  std::map<Type, Type> fallbacks;  // where the columns do not fill blocks

  /// Of a role in a layer (-1: outside the layers), before fallbacks and `tied`.
  Type type_of(Role role, int layer, int layers) const;
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

/// A GGUF in memory with this configuration and random weights, named and shaped as llama.cpp has them: values that are
/// about normal with some much larger ones, scaled so that activations keep their size, and encoded like real ones, so
/// that codes, scales and their spread are those of a real file. The same seed gives the same bytes on any number of
/// threads. Takes what the tensors take; ask plan() first. `check` is called before each tensor, by any worker, and may
/// throw (Ctrl-C). Errors: those of a family's reader.
std::unique_ptr<ModelSource> random_model(const ModelShape& shape, const TypeRecipe& recipe, uint64_t seed,
                                          WorkerPool& pool, const std::function<void()>& check = {});

/// Writes what random_model() made as a GGUF file that llama.cpp loads, with a vocabulary (of letters, and words merged
/// from them) of the model's size. Returns the file's bytes. Errors: those of GgufWriter.
int64_t write_random_model(const ModelSource& model, const std::filesystem::path& path,
                           const std::function<void(int64_t done, int64_t total)>& progress);

}  // namespace autoglm
