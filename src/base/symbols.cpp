#include "base/symbols.h"

#include <cxxabi.h>
#include <elf.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <optional>

namespace autoglm {
namespace {

using Bytes = std::span<const uint8_t>;

// A copy of what stands there: nothing in a file is aligned for sure.
template <class Record>
std::optional<Record> read(Bytes file, uint64_t offset) {
  if (offset > file.size() || file.size() - offset < sizeof(Record)) return {};
  Record record;
  std::memcpy(&record, file.data() + offset, sizeof record);
  return record;
}

Bytes part(Bytes file, uint64_t offset, uint64_t bytes) {
  if (offset > file.size() || file.size() - offset < bytes) return {};
  return file.subspan(offset, bytes);
}

std::string_view text_at(Bytes strings, uint64_t offset) {
  if (offset >= strings.size()) return {};
  const auto* begin = reinterpret_cast<const char*>(strings.data()) + offset;
  return {begin, ::strnlen(begin, strings.size() - offset)};
}

uint64_t hexadecimal(std::string_view digits) {
  uint64_t value = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  return value;
}

}  // namespace

ElfSymbols::ElfSymbols(Bytes file) {
  const auto head = read<Elf64_Ehdr>(file, 0);
  const bool known = head && std::memcmp(head->e_ident, ELFMAG, SELFMAG) == 0 &&
                     head->e_ident[EI_CLASS] == ELFCLASS64 && head->e_ident[EI_DATA] == ELFDATA2LSB &&
                     head->e_phentsize == sizeof(Elf64_Phdr) && head->e_shentsize == sizeof(Elf64_Shdr);
  if (!known) return;
  for (unsigned i = 0; i < head->e_phnum; ++i) {
    const auto segment = read<Elf64_Phdr>(file, head->e_phoff + i * sizeof(Elf64_Phdr));
    if (!segment) break;
    if (segment->p_type == PT_LOAD) segments_.push_back({segment->p_offset, segment->p_vaddr, segment->p_filesz});
  }
  for (const uint32_t wanted : {SHT_SYMTAB, SHT_DYNSYM}) {  // the second is what is left of a stripped file
    for (unsigned i = 0; i < head->e_shnum && functions_.empty(); ++i) {
      const auto table = read<Elf64_Shdr>(file, head->e_shoff + i * sizeof(Elf64_Shdr));
      if (!table || table->sh_type != wanted) continue;
      const auto names = read<Elf64_Shdr>(file, head->e_shoff + table->sh_link * sizeof(Elf64_Shdr));
      if (!names) continue;
      const Bytes strings = part(file, names->sh_offset, names->sh_size);
      const Bytes symbols = part(file, table->sh_offset, table->sh_size);
      for (uint64_t at = 0; at + sizeof(Elf64_Sym) <= symbols.size(); at += sizeof(Elf64_Sym)) {
        const Elf64_Sym symbol = *read<Elf64_Sym>(symbols, at);
        const auto type = ELF64_ST_TYPE(symbol.st_info);
        const bool function = type == STT_FUNC || type == STT_GNU_IFUNC;
        if (!function || symbol.st_value == 0) continue;
        functions_.push_back({symbol.st_value, symbol.st_size, text_at(strings, symbol.st_name)});
      }
    }
  }
  std::ranges::sort(functions_, {}, &Function::address);
}

std::string_view ElfSymbols::at(uint64_t file_offset) const {
  for (const Segment& segment : segments_) {
    if (file_offset < segment.offset || file_offset - segment.offset >= segment.bytes) continue;
    const uint64_t address = segment.address + (file_offset - segment.offset);
    auto found = std::ranges::upper_bound(functions_, address, {}, &Function::address);
    if (found == functions_.begin()) return {};
    --found;
    // One without a length (of assembly) reaches to the next.
    return found->bytes == 0 || address - found->address < found->bytes ? found->name : std::string_view();
  }
  return {};
}

// "7f00-7f80 r-xp 00001000 08:01 1234    /usr/lib/libc.so.6"
std::vector<CodeMapping> code_mappings(std::string_view maps) {
  std::vector<CodeMapping> found;
  while (!maps.empty()) {
    const size_t end = std::min(maps.find('\n'), maps.size());
    std::string_view line = maps.substr(0, end);
    maps.remove_prefix(std::min(end + 1, maps.size()));
    std::string_view words[5];
    for (std::string_view& word : words) {
      word = line.substr(0, line.find(' '));
      line.remove_prefix(std::min(word.size() + 1, line.size()));
    }
    const size_t dash = words[0].find('-');
    if (dash == std::string_view::npos || words[1].find('x') == std::string_view::npos) continue;
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    found.push_back({.begin = hexadecimal(words[0].substr(0, dash)),
                     .end = hexadecimal(words[0].substr(dash + 1)),
                     .file_offset = hexadecimal(words[2]),
                     .file = std::string(line)});
  }
  std::ranges::sort(found, {}, &CodeMapping::begin);
  return found;
}

std::string demangled(std::string_view name) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> text(
      abi::__cxa_demangle(std::string(name).c_str(), nullptr, nullptr, &status), std::free);
  return status == 0 && text ? std::string(text.get()) : std::string(name);
}

Symbolizer::Symbolizer() {
  std::ifstream file("/proc/self/maps");
  mappings_ = code_mappings(std::string(std::istreambuf_iterator<char>(file), {}));
}

int Symbolizer::mapping_of(uint64_t address) const {
  auto found = std::ranges::upper_bound(mappings_, address, {}, &CodeMapping::begin);
  if (found == mappings_.begin()) return -1;
  --found;
  return address < found->end ? static_cast<int>(found - mappings_.begin()) : -1;
}

std::string Symbolizer::name_of(uint64_t address) {
  const int index = mapping_of(address);
  if (index < 0) return fmt::format("{:#x}", address);
  const CodeMapping& mapping = mappings_[static_cast<size_t>(index)];
  const uint64_t offset = address - mapping.begin + mapping.file_offset;
  const auto [at, fresh] = files_.try_emplace(mapping.file);
  File& file = at->second;
  if (fresh && mapping.file.starts_with('/')) {
    std::ifstream from(mapping.file, std::ios::binary);
    file.bytes.assign(std::istreambuf_iterator<char>(from), {});
    file.symbols = std::make_unique<ElfSymbols>(file.bytes);
  }
  const std::string_view name = file.symbols ? file.symbols->at(offset) : std::string_view();
  if (!name.empty()) return std::string(name);
  const std::string short_name = mapping.file.substr(mapping.file.rfind('/') + 1);
  return fmt::format("{}+{:#x}", short_name.empty() ? "[unknown]" : short_name, offset);
}

}  // namespace autoglm
