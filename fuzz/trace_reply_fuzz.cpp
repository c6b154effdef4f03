// What a collector of traces may answer.
#include <cstddef>
#include <cstdint>

#include "base/error.h"
#include "server/traces.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  for (const int status : {200, 503}) {
    const autoglm::TraceReply reply = autoglm::read_trace_reply(status, body);
    AUTOGLM_CHECK(reply.message.size() <= size && reply.message.size() <= 300, "no more than was sent");
    AUTOGLM_CHECK(reply.message.find('\n') == std::string::npos, "one line");
  }
  return 0;
}
