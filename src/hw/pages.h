// On which pages this process's memory lies: the roof of reads depends on it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace autoglm {

/// Bytes of this process on huge pages, anonymous and mapped; nothing where the kernel does not say. Takes up to some
/// 10 ms a GiB.
std::optional<int64_t> huge_page_bytes(const std::filesystem::path& root = "/");

}  // namespace autoglm
