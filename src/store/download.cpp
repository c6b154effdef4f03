#include "store/download.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <system_error>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/ledger.h"
#include "base/process.h"
#include "store/sha256.h"

namespace autoglm {
namespace {

constexpr int kMostTries = 6;
constexpr int kSilenceSeconds = 5;
constexpr int kLongestWaitSeconds = 30;

// Exit codes of curl (man curl, "EXIT CODES") that this file tells apart.
enum CurlExit {
  kOk = 0,
  kResolve = 6,
  kConnect = 7,
  kPartial = 18,
  kHttp = 22,
  kWrite = 23,
  kTimeout = 28,
  kRange = 33,
  kEmpty = 52,
  kSend = 55,
  kReceive = 56,
  kTls = 35,
  kCertificate = 60,
  kMissing = 127
};

struct CurlAnswer {
  int exit = 0;
  int status = 0;        // of the last response, 0 if there was none
  int retry_after = -1;  // seconds, -1 if not said
  std::string out;
  std::string err;
};

/// A value of a curl configuration file: quoted, with \ and " escaped. Line breaks cannot occur in what we pass.
std::string quoted(const std::string& value) {
  std::string out = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') out += '\\';
    if (c != '\n' && c != '\r') out += c;
  }
  return out + '"';
}

bool is_loopback(const std::string& url) { return url.starts_with("http://"); }

/// One run of curl. The configuration goes to its stdin: nobody sees the token in the process list.
CurlAnswer run_curl(const FetchSpec& spec, const std::string& output, bool resume, const std::function<bool()>& tick) {
  std::string config = fmt::format(
      "url = {}\nlocation\nmax-redirs = 10\nfail\nsilent\nshow-error\ngloboff\nconnect-timeout = {}\n"
      "speed-limit = 1\nspeed-time = {}\nuser-agent = \"autoglm\"\n"
      "write-out = \"\\n%{{http_code}} %header{{retry-after}}\"\n",
      quoted(spec.url), kSilenceSeconds, output.empty() ? kSilenceSeconds : 4 * kSilenceSeconds);
  if (!is_loopback(spec.url)) config += "proto-redir = \"=https\"\n";
  if (!spec.token.empty()) config += fmt::format("header = {}\n", quoted("Authorization: Bearer " + spec.token));
  if (!output.empty()) config += fmt::format("output = {}\n", quoted(output));
  if (resume) config += "continue-at = \"-\"\n";

  ProcessOptions options;
  options.in = config;
  options.tick = tick;
  const ProcessResult process = run_process({"curl", "--config", "-"}, options);
  CurlAnswer answer;
  answer.exit = process.exit_code;
  answer.err = process.err;
  const size_t line = process.out.rfind('\n');
  answer.out = process.out.substr(0, line == std::string::npos ? 0 : line);
  const std::string tail = line == std::string::npos ? process.out : process.out.substr(line + 1);
  const char* end = tail.data() + tail.size();
  const auto [after, error] = std::from_chars(tail.data(), end, answer.status);
  if (error == std::errc() && after < end) std::from_chars(after + 1, end, answer.retry_after);
  return answer;
}

[[noreturn]] void explain(const FetchSpec& spec, const CurlAnswer& answer, const std::string& not_found) {
  const std::string host = spec.url.substr(0, spec.url.find('/', spec.url.find("//") + 2));
  const std::string silent_hint = spec.hint.empty() ? "check the network, or set https_proxy" : spec.hint;
  switch (answer.exit) {
    case kMissing:
      fail(Code::work_failed, "downloads need the program curl", "apt-get install curl");
    case kResolve:
    case kConnect:
      fail(Code::download_failed, fmt::format("{} cannot be reached", host), silent_hint);
    case kTimeout:
      fail(Code::download_failed, fmt::format("{} is silent", host), silent_hint);
    case kTls:
    case kCertificate:
      fail(Code::download_failed, fmt::format("no secure connection to {}: {}", host, answer.err),
           "install ca-certificates; behind a company proxy set CURL_CA_BUNDLE to its certificate");
    case kWrite:
      fail(Code::disk_full, fmt::format("writing {} failed", spec.path.string()), "free some disk space");
    default:
      break;
  }
  switch (answer.status) {
    case 401:
    case 403:
      fail(Code::download_failed, fmt::format("{} refused access (HTTP {}): {}", host, answer.status, spec.url),
           "the model may be gated: accept its licence on its page, then set HF_TOKEN (or MODELSCOPE_API_TOKEN)");
    case 404:
      fail(Code::model_not_found, not_found, "check the name on the hub's page");
    case 429:
      fail(Code::download_failed, fmt::format("{} says that there were too many requests (HTTP 429)", host),
           "wait some minutes, or set HF_TOKEN: known users get a larger allowance");
    default:
      break;
  }
  if (answer.status >= 400) {
    fail(Code::download_failed, fmt::format("{} answered HTTP {}", host, answer.status), "try again later");
  }
  fail(Code::download_failed, fmt::format("the download from {} failed: {}", host, answer.err),
       "run the same command again: it goes on where it stopped");
}

bool worth_retrying(const CurlAnswer& answer) {
  const int exit = answer.exit;
  return exit == kPartial || exit == kRange || exit == kEmpty || exit == kSend || exit == kReceive ||
         answer.status == 429 || answer.status == 503 || answer.status == 502 || answer.status == 504;
}

void wait_before_retry(const CurlAnswer& answer, int attempt, const std::function<bool()>& tick) {
  int seconds = answer.retry_after >= 0 ? answer.retry_after : 1 << std::min(attempt, 3);
  if (answer.status < 400) seconds = attempt == 0 ? 0 : 1;  // a cut: go on at once
  seconds = std::min(seconds, kLongestWaitSeconds);
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  while (std::chrono::steady_clock::now() < until) {
    if (tick && !tick()) fail(Code::interrupted, "interrupted");
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

int64_t size_of(const std::filesystem::path& path) {
  std::error_code error;
  const uintmax_t size = std::filesystem::file_size(path, error);
  return error ? 0 : static_cast<int64_t>(size);
}

/// Size and hash of what has come; a wrong file is removed, so that the next try starts clean.
void verify(const FetchSpec& spec, const std::filesystem::path& part) {
  const int64_t got = size_of(part);
  if (spec.bytes >= 0 && got != spec.bytes) {
    std::filesystem::remove(part);
    fail(Code::download_failed, fmt::format("{} has {} bytes instead of {}", spec.url, got, spec.bytes), "try again");
  }
  const bool by_sha = !spec.sha256.empty();
  if (!by_sha && spec.git_blob.empty()) return;
  const std::string& expected = by_sha ? spec.sha256 : spec.git_blob;
  const std::string hash = by_sha ? sha256_file(part) : git_blob_id(part);
  if (hash != expected) {
    std::filesystem::remove(part);
    fail(Code::download_failed,
         fmt::format("{} has the wrong hash: {} instead of {}", spec.path.filename().string(), hash, expected),
         "the file was damaged on its way or replaced; try again, or another mirror");
  }
}

}  // namespace

int64_t free_disk_bytes(const std::filesystem::path& folder) {
  std::filesystem::path there = std::filesystem::absolute(folder);
  std::error_code error;
  while (!std::filesystem::exists(there, error) && there.has_relative_path()) there = there.parent_path();
  const std::filesystem::space_info space = std::filesystem::space(there, error);
  return error ? INT64_MAX : static_cast<int64_t>(space.available);
}

void fetch_file(const FetchSpec& spec, const DownloadProgress& progress) {
  std::filesystem::path part = spec.path;
  part += ".part";
  if (spec.bytes >= 0) {
    if (size_of(part) > spec.bytes) std::filesystem::remove(part);
    const int64_t missing = spec.bytes - size_of(part);
    const int64_t room = free_disk_bytes(spec.path.parent_path());
    if (missing > room) {
      fail(Code::disk_full,
           fmt::format("{} needs {}, and {} has {} free", spec.path.filename().string(), format_bytes(missing),
                       spec.path.parent_path().string(), format_bytes(room)),
           "free some space (autoglm clean, autoglm rm), or set AUTOGLM_HOME to a larger disk");
    }
  }
  const auto tick = [&] { return !progress || progress(size_of(part), spec.bytes); };
  for (int attempt = 0; spec.bytes < 0 || size_of(part) != spec.bytes; ++attempt) {
    const int64_t before = size_of(part);
    const CurlAnswer answer = run_curl(spec, part.string(), before > 0, tick);
    if (!tick()) fail(Code::interrupted, "interrupted; the next pull goes on from here");
    if (answer.exit == kOk) break;
    if (answer.exit == kRange || answer.status == 416) std::filesystem::remove(part);  // the host cannot resume
    if (size_of(part) > before) attempt = 0;                                           // it advances: keep going
    if (attempt + 1 >= kMostTries || !(worth_retrying(answer) || answer.status == 416)) {
      explain(spec, answer, fmt::format("there is no {}", spec.url));
    }
    wait_before_retry(answer, attempt, tick);
  }
  verify(spec, part);
  std::filesystem::rename(part, spec.path);
}

std::string fetch_text(const FetchSpec& spec, const std::string& not_found, const std::function<bool()>& tick) {
  for (int attempt = 0;; ++attempt) {
    const CurlAnswer answer = run_curl(spec, "", false, tick);
    if (tick && !tick()) fail(Code::interrupted, "interrupted");
    if (answer.exit == kOk) return answer.out;
    if (attempt + 1 >= kMostTries || !worth_retrying(answer)) explain(spec, answer, not_found);
    wait_before_retry(answer, attempt, tick);
  }
}

}  // namespace autoglm
