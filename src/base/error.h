// Errors: one table, two kinds.
//
// Bad input (a file, a flag, a request) is `Error`: a code from the table below, a sentence, and a hint that says
// what to do. A bug in this program is `AUTOGLM_CHECK`. Cold code throws `Error`; the decode step never throws.
// Exceptions are caught only where a thread or a foreign caller ends (docs/REQUEST.md lists the places).
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace autoglm {

/// Every way a user's request can fail. The string, exit code, HTTP status and OpenAI type are in error.cpp's table.
enum class Code {
  internal,              // a bug, reported instead of aborting where a foreign caller must survive
  work_failed,           // the work itself failed (network, disk, a helper program)
  bad_flag,              // command line or environment
  bad_config,            // a key or value of a configuration file
  bad_request,           // a request that cannot be honoured (API body, template input, token ids)
  model_not_found,       // no such file, folder or name
  bad_model_file,        // cut, corrupt or inconsistent
  unsupported_model,     // well formed, but asks for mathematics that is not built
  bad_file,              // an input file other than a model is missing or unreadable
  bad_template,          // the chat template does not parse or raised an exception
  limit_exceeded,        // a step, output, depth or size limit was reached
  context_exceeded,      // prompt (plus max-tokens) is longer than the context
  out_of_memory,         // does not fit in the memory limit
  disk_full,             // not enough space, or a write failed for lack of it
  download_failed,       // a host refused, is silent, or sent the wrong bytes
  licence_not_accepted,  // a model's licence must be accepted first
  overloaded,            // the queue is full
  deadline_exceeded,     // a request's deadline passed
  cancelled,             // the client went away
  interrupted,           // Ctrl-C
  numeric,               // NaN or infinity in logits
  unauthorized,          // no key or a wrong one
};

/// A row of the error table. `name` is the stable string that JSON and HTTP bodies carry.
struct CodeInfo {
  Code code;
  std::string_view name;
  int exit_code;  // 1 work failed, 2 command line or configuration, 3 file or model, 4 does not fit, 130
  int http_status;
  std::string_view openai_type;  // "invalid_request_error", "server_error", ...
};

/// The table's row for `code`.
const CodeInfo& info(Code code);

/// Bad input. what() is the message: one sentence without a trailing full stop. The hint may be empty.
class Error : public std::runtime_error {
 public:
  Error(Code code, const std::string& message, std::string hint = {});
  Code code() const { return code_; }
  const std::string& hint() const { return hint_; }

 private:
  Code code_;
  std::string hint_;
};

/// Throws Error. A function of its own keeps call sites short and the cold path out of line.
[[noreturn]] void fail(Code code, const std::string& message, std::string hint = {});

/// Reports a bug with its place on stderr and aborts. Never reachable from what a user, a file or a client sends.
[[noreturn]] void check_failed(const char* expression, const char* file, int line, const std::string& message);

/// The candidate nearest to `word` by edit distance, or empty if none is near (for "did you mean").
std::string nearest(std::string_view word, const std::string_view* candidates, size_t count);

}  // namespace autoglm

#define AUTOGLM_CHECK(condition, message)                                               \
  do {                                                                                  \
    if (!(condition)) ::autoglm::check_failed(#condition, __FILE__, __LINE__, message); \
  } while (0)
