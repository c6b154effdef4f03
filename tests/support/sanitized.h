// Whether this test program was built with a sanitizer (presets asan and tsan).
#pragma once

namespace autoglm::test {

#ifdef AUTOGLM_SANITIZED
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace autoglm::test
