// The tables that this binary holds.
#pragma once

#include "kernels/cpu/isa_table.h"

namespace autoglm::cpu {

const IsaTable& generic_table();
const IsaTable& avx2_table();
const IsaTable& avxvnni_table();
const IsaTable& avx512_table();

/// Puts the functions that need AVX512_BF16 into a copy of the AVX-512 table.
void use_avx512_bf16(IsaTable& table);

/// Makes a copy of the AVX-512 table the one of `amx`.
void use_amx(IsaTable& table);

}  // namespace autoglm::cpu
