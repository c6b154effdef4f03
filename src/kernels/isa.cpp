// Which instruction sets this binary has code for, and which of them this CPU can run.
#include <string>

#include "base/error.h"
#include "kernels/backend.h"
#include "kernels/ref/ref_backend.h"

namespace autoglm {
namespace {

struct IsaRow {
  std::string_view name;
  bool (*usable)();
  std::unique_ptr<Backend> (*make)(WorkerPool& pool);
};

// Best first. `ref` stands last and is never chosen by `auto`.
const IsaRow kIsas[] = {
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
