// Names of the functions at addresses of this process, for profiles: from the symbol tables of the files that are
// mapped.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace autoglm {

/// The functions of one ELF file. Whatever is wrong with the file, there are just fewer names.
class ElfSymbols {
 public:
  /// `file` is used until this ends.
  explicit ElfSymbols(std::span<const uint8_t> file);
  /// The function whose code is at this place of the file, as the linker calls it; empty: unknown.
  std::string_view at(uint64_t file_offset) const;
  size_t size() const { return functions_.size(); }

 private:
  struct Segment {
    uint64_t offset, address, bytes;
  };
  struct Function {
    uint64_t address, bytes;
    std::string_view name;
  };
  std::vector<Segment> segments_;
  std::vector<Function> functions_;  // by address
};

/// Code that is mapped from a file.
struct CodeMapping {
  uint64_t begin = 0;
  uint64_t end = 0;
  uint64_t file_offset = 0;
  std::string file;
};

/// Of "/proc/PID/maps": what may be executed, by address.
std::vector<CodeMapping> code_mappings(std::string_view maps);

/// "autoglm::Engine::step()" of what the linker calls it.
std::string demangled(std::string_view name);

class Symbolizer {
 public:
  Symbolizer();  // of this process as it is now
  const std::vector<CodeMapping>& mappings() const { return mappings_; }
  /// The index of an address's mapping; -1: none.
  int mapping_of(uint64_t address) const;
  /// The linker's name of its function, or "file+0x12" where there is none.
  std::string name_of(uint64_t address);

 private:
  struct File {
    std::vector<uint8_t> bytes;  // a copy: a mapped one could be cut by whoever installs another
    std::unique_ptr<ElfSymbols> symbols;
  };
  std::vector<CodeMapping> mappings_;
  std::map<std::string, File> files_;  // read when a name is asked for
};

}  // namespace autoglm
