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
  std::unique_ptr<Backend> (*make)(WorkerPool& pool);
};

#if defined(__x86_64__)
bool has_avx2() {
  const CpuFeatures f = cpu_features();
  return f.avx2 && f.fma && f.f16c && f.bmi2;
}
bool has_avxvnni() { return has_avx2() && cpu_features().avxvnni; }
bool has_avx512() { return has_avx2() && cpu_features().avx512 && cpu_features().avx512vnni; }

std::unique_ptr<Backend> make_avx512(WorkerPool& pool) {
  cpu::IsaTable table = cpu::avx512_table();
  if (cpu_features().avx512bf16) cpu::use_avx512_bf16(table);
  return cpu::make_cpu_backend(table, pool);
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
    {"avx512", has_avx512, make_avx512},
    {"avxvnni", has_avxvnni, [](WorkerPool& pool) { return cpu::make_cpu_backend(cpu::avxvnni_table(), pool); }},
    {"avx2", has_avx2, [](WorkerPool& pool) { return cpu::make_cpu_backend(cpu::avx2_table(), pool); }},
#endif
    {kGeneric, [] { return true; }, [](WorkerPool& pool) { return cpu::make_cpu_backend(cpu::generic_table(), pool); }},
    {"ref", [] { return true; }, [](WorkerPool&) { return make_ref_backend(); }},
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

std::unique_ptr<Backend> make_backend(std::string_view isa, WorkerPool& pool) {
  for (const IsaRow& row : kIsas) {
    const bool wanted = isa == "auto" ? row.name != "ref" : row.name == isa;
    if (!wanted) continue;
    if (row.usable()) return row.make(pool);
    if (isa != "auto") {
      fail(Code::bad_flag, "this CPU cannot run the instruction set '" + std::string(isa) + "'",
           "it can run: " + join(usable_isas()));
    }
  }
  fail(Code::bad_flag, "unknown instruction set '" + std::string(isa) + "'",
       "this CPU can run: auto, " + join(usable_isas()));
}

}  // namespace autoglm
