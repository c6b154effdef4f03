// The content hash of a pack's sources.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "format/pack_file.h"

namespace autoglm {

/// Hash of the bytes of all files, by pieces of 2 MiB; nothing if one is not there any more as its stamp says (before
/// or after it was read), cannot be read, or stop() says so. Reads at the pace of the disk and holds one piece.
std::optional<Hash128> hash_sources(const std::vector<PackSource>& sources, const std::function<bool()>& stop);

}  // namespace autoglm
