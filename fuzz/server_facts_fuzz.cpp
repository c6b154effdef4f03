// What a server may say at /metrics and /debug/requests.
#include <cstddef>
#include <cstdint>

#include "base/error.h"
#include "tune/rules.h"
#include "tune/server_facts.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  autoglm::Facts facts;
  try {
    autoglm::read_server_facts(facts, text);
  } catch (const autoglm::Error&) {
    facts = {};
  }
  autoglm::read_request_facts(facts, text);
  for (const autoglm::Finding& finding : autoglm::diagnose(facts, autoglm::Language::en)) {
    AUTOGLM_CHECK(!finding.evidence.empty(), "a finding has evidence");
  }
  return 0;
}
