// SHA-256 of files, for integrity, and git's blob hash, which hubs give for small files.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

namespace autoglm {

/// Lower-case hex. `progress` (may be empty) gets the bytes read so far; returning false stops with Error interrupted.
std::string sha256_file(const std::filesystem::path& path, const std::function<bool(int64_t)>& progress = {});

/// SHA-1 of "blob SIZE\0" and the content: what git and the hubs call a blob id.
std::string git_blob_id(const std::filesystem::path& path);

/// SHA-256 of a text.
std::string sha256_text(const std::string& text);

}  // namespace autoglm
