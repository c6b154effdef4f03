// Fetching over the user's own `curl`, so that proxy, mirror and certificate settings hold.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

namespace autoglm {

/// Bytes there so far and in all (-1: unknown). Returning false stops the download with Error interrupted; what has
/// come stays for the next try.
using DownloadProgress = std::function<bool(int64_t done, int64_t total)>;

struct FetchSpec {
  std::string url;
  std::filesystem::path path;  // the final place; PATH.part holds what has come
  int64_t bytes = -1;          // -1: unknown
  std::string sha256;          // empty: not checked
  std::string git_blob;        // git's blob id, checked where there is no SHA-256
  std::string token;           // sent as a bearer token to the first host only
  std::string hint;            // what to try if the host is silent
};

/// Fetches into spec.path, resuming an earlier part, following redirects (https stays https), retrying what is worth it
/// (cut connections, 429 and 503 with Retry-After). The file appears only when size and hash are right.
/// Errors: download_failed (401, 403, 404, 429, silence, wrong hash), disk_full, interrupted; each with a hint.
void fetch_file(const FetchSpec& spec, const DownloadProgress& progress);

/// A small text (an API answer, at most 64 MiB). Same errors; `not_found` is what a 404 means to the user.
std::string fetch_text(const FetchSpec& spec, const std::string& not_found, const std::function<bool()>& tick);

/// Free bytes of the file system that `folder` is or will be on.
int64_t free_disk_bytes(const std::filesystem::path& folder);

}  // namespace autoglm
