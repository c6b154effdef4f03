// Reads the .npy files that the goldens are stored in: little-endian float32, C order.
#pragma once

#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace autoglm::test {

struct Npy {
  std::vector<int64_t> shape;
  std::vector<float> values;
};

inline Npy read_npy(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  if (bytes.size() < 10 || bytes.compare(1, 5, "NUMPY") != 0 || bytes[6] != 1)
    throw std::runtime_error("not npy: " + path);
  const size_t start = 10 + static_cast<uint8_t>(bytes[8]) + 256u * static_cast<uint8_t>(bytes[9]);
  const std::string header = bytes.substr(10, start - 10);
  if (header.find("'<f4'") == std::string::npos || header.find("'fortran_order': False") == std::string::npos) {
    throw std::runtime_error("not float32 in C order: " + path);
  }
  Npy npy;
  const size_t open = header.find("'shape': (") + 10;
  std::istringstream dims(header.substr(open, header.find(')', open) - open));
  int64_t count = 1;
  for (std::string dim; std::getline(dims, dim, ',');) {
    if (dim.find_first_of("0123456789") == std::string::npos) continue;
    npy.shape.push_back(std::stoll(dim));
    count *= npy.shape.back();
  }
  if (bytes.size() != start + 4 * static_cast<size_t>(count)) throw std::runtime_error("wrong size: " + path);
  npy.values.resize(static_cast<size_t>(count));
  std::memcpy(npy.values.data(), bytes.data() + start, 4 * npy.values.size());
  return npy;
}

}  // namespace autoglm::test
