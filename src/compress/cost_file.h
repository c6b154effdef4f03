// What measure_sensitivity() found, on disk: a run that was interrupted goes on after it, and other sizes of the same
// model need no new measurement.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "compress/sensitivity.h"

namespace autoglm {

struct CostFile {
  std::string key;                            // of model, text and method
  std::map<std::string, double> divergences;  // of a set of maps, by the name of its first tensor
  std::vector<TensorCost> tensors;            // empty until all is measured
};

/// What a file of this text says. Errors: bad_file, naming `where`.
CostFile parse_costs(std::string_view text, const std::string& where);
std::string costs_text(const CostFile& costs);

/// An empty one where there is no file, or where it has another key.
CostFile read_costs(const std::filesystem::path& path, const std::string& key);
void write_costs(const std::filesystem::path& path, const CostFile& costs);

}  // namespace autoglm
