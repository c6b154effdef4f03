// What a server answers to our HTTP client, from anywhere: it is an answer, not complete, or an Error.
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "base/http_client.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const bool at_end : {false, true}) {
    try {
      const auto reply = autoglm::parse_http_reply(text, at_end);
      if (reply && reply->body.size() > size) std::abort();
    } catch (const autoglm::Error&) {
    }
  }
  if (const auto url = autoglm::parse_http_url(text)) {
    if (url->host.empty() || url->target.front() != '/') std::abort();
  }
  return 0;
}
