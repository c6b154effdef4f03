// Which instruction sets this binary has code for, and which of them this CPU can run.
#include <string>

#include "base/error.h"
#include "hw/cpu.h"
#include "kernels/backend.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/isa_tables.h"
#include "kernels/ref/ref_backend.h"

namespace autoglm {
namespace {

struct IsaRow {
  std::string_view name;
  bool (*usable)();
  cpu::IsaTable (*table)();  // null: the reference, which has none
};

#if defined(__x86_64__)
bool has_avx2() {
  const CpuFeatures f = cpu_features();
  return f.avx2 && f.fma && f.f16c && f.bmi2;
}
bool has_avxvnni() { return has_avx2() && cpu_features().avxvnni; }
bool has_avx512() { return has_avx2() && cpu_features().avx512 && cpu_features().avx512vnni; }

cpu::IsaTable best_avx512_table() {
  cpu::IsaTable table = cpu::avx512_table();
  if (cpu_features().avx512bf16) cpu::use_avx512_bf16(table);
  return table;
}

bool has_amx() {
  const CpuFeatures f = cpu_features();
  return has_avx512() && f.avx512bf16 && f.amx_int8 && f.amx_bf16;
}

cpu::IsaTable amx_table() {
  cpu::IsaTable table = best_avx512_table();
  cpu::use_amx(table);
  return table;
}
#endif
#if defined(__aarch64__)
constexpr std::string_view kGeneric = "neon";
#else
constexpr std::string_view kGeneric = "generic";
#endif

// Best first. `ref` stands last and is never chosen by `auto`.
const IsaRow kIsas[] = {
#if defined(__x86_64__)
    {"amx", has_amx, amx_table},
    {"avx512", has_avx512, best_avx512_table},
    {"avxvnni", has_avxvnni, [] { return cpu::avxvnni_table(); }},
    {"avx2", has_avx2, [] { return cpu::avx2_table(); }},
#endif
    {kGeneric, [] { return true; }, [] { return cpu::generic_table(); }},
    {"ref", [] { return true; }, nullptr},
};

std::string join(const std::vector<std::string_view>& names) {
  std::string text;
  for (std::string_view name : names) text += (text.empty() ? "" : ", ") + std::string(name);
  return text;
}

}  // namespace

std::vector<std::string_view> built_isas() {
  std::vector<std::string_view> names;
  for (const IsaRow& row : kIsas) names.push_back(row.name);
  return names;
}

std::vector<std::string_view> usable_isas() {
  std::vector<std::string_view> names;
  for (const IsaRow& row : kIsas) {
    if (row.usable()) names.push_back(row.name);
  }
  return names;
}

namespace {

/// The row of a name, or the best one of `auto`. Throws Error bad_flag naming what this CPU has.
const IsaRow& find(std::string_view isa) {
  for (const IsaRow& row : kIsas) {
    const bool wanted = isa == "auto" ? row.table != nullptr : row.name == isa;
    if (!wanted) continue;
    if (row.usable()) return row;
    if (isa != "auto") {
      fail(Code::bad_flag, "this CPU cannot run the instruction set '" + std::string(isa) + "'",
           "it can run: " + join(usable_isas()));
    }
  }
  fail(Code::bad_flag, "this program has no code for the instruction set '" + std::string(isa) + "'",
       "this CPU can run: auto, " + join(usable_isas()));
}

}  // namespace

std::unique_ptr<Backend> make_backend(std::string_view isa, WorkerPool& pool) {
  const IsaRow& row = find(isa);
  return row.table != nullptr ? cpu::make_cpu_backend(row.table(), pool) : make_ref_backend();
}

cpu::IsaTable cpu::table_for(std::string_view isa) {
  const IsaRow& row = find(isa == "ref" ? kGeneric : isa);
  return row.table();
}

}  // namespace autoglm
