// Symbol tables of an ELF file from anywhere, and the system's list of mappings: fewer names, never a fault.
#include <string_view>

#include "base/symbols.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const autoglm::ElfSymbols symbols({data, size});
  for (const uint64_t offset : {uint64_t{0}, uint64_t{64}, uint64_t{size}, ~uint64_t{0}}) (void)symbols.at(offset);
  for (const auto& mapping : autoglm::code_mappings({reinterpret_cast<const char*>(data), size})) {
    (void)autoglm::demangled(mapping.file);
  }
  return 0;
}
