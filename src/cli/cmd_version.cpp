// `autoglm version`: what was built.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/version.h"
#include "kernels/backend.h"

namespace autoglm {
namespace {

int run(Context& context) {
  const std::vector<std::string_view> isas = built_isas();
  if (context.json()) {
    context.print_json({{"version", program_version()},
                        {"commit", program_commit()},
                        {"compiler", program_compiler()},
                        {"isas", isas}});
    return 0;
  }
  std::string names;
  for (const std::string_view isa : isas) names += (names.empty() ? "" : " ") + std::string(isa);
  context.print(fmt::format("autoglm {} ({}, {})\nkernels: {}\n", program_version(), program_commit(),
                            program_compiler(), names));
  return 0;
}

}  // namespace

const Command kVersion = {
    .name = "version",
    .summary = {"version, commit, compiler, and the instruction sets built in", "版本、提交、编译器和内置的指令集"},
    .json_keys = "version, commit, compiler, isas",
    .run = run,
};

}  // namespace autoglm
