#include "base/pprof.h"

#include <algorithm>
#include <array>
#include <map>
#include <ranges>

#include "base/protobuf.h"

namespace autoglm {
namespace {

class Encoder {
 public:
  explicit Encoder(Symbolizer& symbols) : symbols_(symbols) { text(""); }

  std::string encode(const CpuProfile& profile) {
    message(1, value_type("samples", "count"));
    message(1, value_type("cpu", "nanoseconds"));
    for (const CpuProfile::Stack& stack : profile.stacks) add(stack, profile.period_ns);
    const auto& mappings = symbols_.mappings();
    for (size_t i = 0; i < mappings.size(); ++i) {
      ProtoWriter mapping;
      mapping.number(1, i + 1);
      mapping.number(2, mappings[i].begin);
      mapping.number(3, mappings[i].end);
      mapping.number(4, mappings[i].file_offset);
      mapping.integer(5, text(mappings[i].file));
      mapping.number(7, 1);  // functions are named
      out_.message(3, mapping);
    }
    if (profile.lost > 0) out_.integer(13, text(std::to_string(profile.lost) + " samples had no room"));
    const int64_t cpu = text("cpu");
    const ProtoWriter period_type = value_type("cpu", "nanoseconds");
    for (const std::string& one : strings_) out_.put_text(6, one);
    out_.integer(9, profile.unix_ns);
    out_.integer(10, static_cast<int64_t>(profile.seconds * 1e9));
    out_.message(11, period_type);
    out_.integer(12, profile.period_ns);
    out_.integer(14, cpu);
    return out_.take();
  }

 private:
  // The place of a text in the profile's table.
  int64_t text(const std::string& value) {
    const auto [at, fresh] = texts_.try_emplace(value, static_cast<int64_t>(strings_.size()));
    if (fresh) strings_.push_back(value);
    return at->second;
  }

  void message(int field, const ProtoWriter& value) { out_.message(field, value); }

  ProtoWriter value_type(const char* type, const char* unit) {
    ProtoWriter value;
    value.integer(1, text(type));
    value.integer(2, text(unit));
    return value;
  }

  uint64_t function(const std::string& linkers_name) {
    const auto [at, fresh] = functions_.try_emplace(linkers_name, functions_.size() + 1);
    if (fresh) {
      ProtoWriter function;
      function.number(1, at->second);
      function.integer(2, text(demangled(linkers_name)));
      function.integer(3, text(linkers_name));
      out_.message(5, function);
    }
    return at->second;
  }

  uint64_t location(uint64_t address) {
    const auto [at, fresh] = locations_.try_emplace(address, locations_.size() + 1);
    if (fresh) {
      ProtoWriter line;
      line.number(1, function(symbols_.name_of(address)));
      ProtoWriter location;
      location.number(1, at->second);
      location.integer(2, symbols_.mapping_of(address) + 1);
      location.number(3, address);
      location.message(4, line);
      out_.message(4, location);
    }
    return at->second;
  }

  void add(const CpuProfile::Stack& stack, int64_t period_ns) {
    std::vector<uint64_t> locations;
    for (const uint64_t address : stack.frames) locations.push_back(location(address));
    ProtoWriter label;
    label.integer(1, text("thread"));
    label.integer(2, text(stack.thread));
    const std::array<int64_t, 2> values = {stack.count, stack.count * period_ns};
    ProtoWriter sample;
    sample.packed(1, std::span<const uint64_t>(locations));
    sample.packed(2, std::span<const int64_t>(values));
    sample.message(3, label);
    out_.message(2, sample);
  }

  Symbolizer& symbols_;
  ProtoWriter out_;
  std::vector<std::string> strings_;
  std::map<std::string, int64_t> texts_;
  std::map<std::string, uint64_t> functions_;
  std::map<uint64_t, uint64_t> locations_;
};

// The polynomial of gzip, zip and Ethernet, a bit at a time.
uint32_t crc32(std::string_view bytes) {
  uint32_t crc = ~0U;
  for (const char byte : bytes) {
    crc ^= static_cast<uint8_t>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xEDB88320U : 0U);
  }
  return ~crc;
}

void add_little_endian(std::string& to, uint32_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) to += static_cast<char>(value >> (8 * i));
}

CallTree& child(CallTree& tree, const std::string& name) {
  auto at = std::ranges::lower_bound(tree.children, name, {}, &CallTree::name);
  if (at == tree.children.end() || at->name != name)
    at = tree.children.insert(at, CallTree{.name = name, .children = {}});
  return *at;
}

}  // namespace

std::string pprof_of(const CpuProfile& profile, Symbolizer& symbols) {
  return gzipped(Encoder(symbols).encode(profile));
}

// RFC 1952 around RFC 1951's blocks of type 00.
std::string gzipped(std::string_view bytes) {
  constexpr size_t kBlock = 65535;
  std::string out("\x1f\x8b\x08\0\0\0\0\0\0\xff", 10);
  const uint32_t crc = crc32(bytes);
  const auto size = static_cast<uint32_t>(bytes.size());
  do {
    const std::string_view block = bytes.substr(0, kBlock);
    bytes.remove_prefix(block.size());
    out += bytes.empty() ? '\1' : '\0';
    add_little_endian(out, static_cast<uint32_t>(block.size()), 2);
    add_little_endian(out, ~static_cast<uint32_t>(block.size()), 2);
    out += block;
  } while (!bytes.empty());
  add_little_endian(out, crc, 4);
  add_little_endian(out, size, 4);
  return out;
}

CallTree call_tree_of(const CpuProfile& profile, Symbolizer& symbols) {
  std::map<uint64_t, std::string> names;
  CallTree root{.name = "all", .children = {}};
  for (const CpuProfile::Stack& stack : profile.stacks) {
    CallTree* at = &root;
    at->count += stack.count;
    at = &child(*at, stack.thread);
    at->count += stack.count;
    for (const uint64_t address : stack.frames | std::views::reverse) {
      const auto [name, fresh] = names.try_emplace(address);
      if (fresh) name->second = demangled(symbols.name_of(address));
      at = &child(*at, name->second);
      at->count += stack.count;
    }
  }
  return root;
}

}  // namespace autoglm
