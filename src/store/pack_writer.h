// Writes one pack: a hidden file, complete and on the disk, then renamed.
#pragma once

#include <filesystem>
#include <functional>
#include <span>

#include "format/pack_file.h"

namespace autoglm {

/// Writes header and data and puts them under `path`. `header.content_hash` is filled already, `header.pieces` are
/// filled here. before_rename() may be empty. False if stop() said so; errors: disk_full, work_failed. The hidden file
/// is gone in each case; one that a killed process left is removed by the next remove_leftovers().
bool write_pack(PackHeader& header, std::span<const std::byte> data, const std::filesystem::path& path,
                const std::function<bool()>& stop,
                const std::function<void(const std::filesystem::path&)>& before_rename);

/// Removes hidden files in the folder that no process is writing any more. Returns whether one is still being written
/// for `path`.
bool remove_leftovers(const std::filesystem::path& folder, const std::filesystem::path& path);

}  // namespace autoglm
