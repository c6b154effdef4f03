// Importance files of llama.cpp: GGUF with, for each matrix, the sums of its squared inputs (NAME.in_sum2 [matrices,
// columns]) and how many inputs there were (NAME.counts [matrices, 1]).
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

#include "compress/quantize.h"

namespace autoglm {

/// Mean squares. A matrix of a stack without inputs gets the mean of the others. Errors: bad_file for what is no such
/// file or is damaged; the older .dat form is named.
Importance parse_imatrix(std::span<const std::byte> bytes, const std::string& where);
Importance read_imatrix(const std::filesystem::path& path);

}  // namespace autoglm
