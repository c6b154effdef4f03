// Which mapped file an address belongs to: for saying what happened when one is cut while it is in use. The processor
// then gets no page, and the system sends SIGBUS, which is no exception.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace autoglm {

/// Remembers that `bytes` map the file `name`, until forget_mapping(bytes.data()). Thread-safe. Beyond a thousand at
/// once they stay unknown.
void name_mapping(std::span<const std::byte> bytes, const std::string& name);
void forget_mapping(const std::byte* begin) noexcept;

/// The file that `address` maps, or null. Async-signal-safe: made for a handler of SIGBUS, whose mapping cannot go
/// while its reader hangs in it.
const char* mapping_at(const void* address) noexcept;

/// What to tell of such a file. The handler, which may not allocate, joins the parts itself.
constexpr std::string_view kCutMessage = " was cut, or its disk failed, while it was in use";
constexpr std::string_view kCutHint =
    "put the whole file back; to replace a model that is in use, rename the new file over it";
inline std::string cut_while_in_use(std::string_view file) { return std::string(file) + std::string(kCutMessage); }

}  // namespace autoglm
