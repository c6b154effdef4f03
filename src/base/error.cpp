#include "base/error.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <utility>
#include <vector>

namespace autoglm {
namespace {

constexpr std::string_view kInvalid = "invalid_request_error";
constexpr std::string_view kServer = "server_error";

constexpr std::array kTable = {
    CodeInfo{Code::internal, "internal", 1, 500, kServer},
    CodeInfo{Code::work_failed, "work_failed", 1, 500, kServer},
    CodeInfo{Code::bad_flag, "bad_flag", 2, 400, kInvalid},
    CodeInfo{Code::bad_config, "bad_config", 2, 400, kInvalid},
    CodeInfo{Code::bad_request, "bad_request", 2, 400, kInvalid},
    CodeInfo{Code::model_not_found, "model_not_found", 3, 404, kInvalid},
    CodeInfo{Code::bad_model_file, "bad_model_file", 3, 400, kInvalid},
    CodeInfo{Code::unsupported_model, "unsupported_model", 3, 400, kInvalid},
    CodeInfo{Code::bad_file, "bad_file", 3, 400, kInvalid},
    CodeInfo{Code::bad_template, "bad_template", 3, 400, kInvalid},
    CodeInfo{Code::limit_exceeded, "limit_exceeded", 4, 400, kInvalid},
    CodeInfo{Code::context_exceeded, "context_exceeded", 4, 400, kInvalid},
    CodeInfo{Code::out_of_memory, "out_of_memory", 4, 503, kServer},
    CodeInfo{Code::disk_full, "disk_full", 1, 507, kServer},
    CodeInfo{Code::download_failed, "download_failed", 1, 502, kServer},
    CodeInfo{Code::licence_not_accepted, "licence_not_accepted", 2, 403, kInvalid},
    CodeInfo{Code::overloaded, "overloaded", 1, 429, "rate_limit_error"},
    CodeInfo{Code::deadline_exceeded, "deadline_exceeded", 1, 504, "timeout_error"},
    CodeInfo{Code::cancelled, "cancelled", 130, 499, kInvalid},
    CodeInfo{Code::interrupted, "interrupted", 130, 499, kInvalid},
    CodeInfo{Code::numeric, "numeric", 1, 500, kServer},
    CodeInfo{Code::unauthorized, "unauthorized", 2, 401, "authentication_error"},
};

consteval bool in_order() {
  for (size_t i = 0; i < kTable.size(); ++i) {
    if (static_cast<size_t>(kTable[i].code) != i) return false;
  }
  return true;
}
static_assert(in_order(), "the table is indexed by the enum");

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substitute = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitute});
    }
  }
  return row[b.size()];
}

}  // namespace

const CodeInfo& info(Code code) { return kTable.at(static_cast<size_t>(code)); }

Error::Error(Code code, const std::string& message, std::string hint)
    : std::runtime_error(message), code_(code), hint_(std::move(hint)) {}

void fail(Code code, const std::string& message, std::string hint) { throw Error(code, message, std::move(hint)); }

void check_failed(const char* expression, const char* file, int line, const std::string& message) {
  std::fprintf(stderr, "autoglm: bug at %s:%d: %s (%s)\n", file, line, message.c_str(), expression);
  std::abort();
}

std::string nearest(std::string_view word, const std::string_view* candidates, size_t count) {
  std::string best;
  size_t best_distance = std::max<size_t>(2, word.size() / 3) + 1;
  for (size_t i = 0; i < count; ++i) {
    const size_t distance = edit_distance(word, candidates[i]);
    if (distance < best_distance) {
      best_distance = distance;
      best = std::string(candidates[i]);
    }
  }
  return best;
}

}  // namespace autoglm
