// A JSON schema from anywhere: a grammar or an Error; and what the grammar writes is JSON.
#include <string>
#include <string_view>

#include "base/error.h"
#include "text/grammar/automaton.h"
#include "text/grammar/json_schema.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using autoglm::Automaton;
  using autoglm::Json;
  const Json schema = Json::parse(std::string_view(reinterpret_cast<const char*>(data), size), nullptr, false);
  if (schema.is_discarded()) return 0;
  try {
    const auto program = autoglm::compile_json_schema(schema);
    Automaton automaton(program);
    // A walk that the input chooses.
    std::string text;
    Automaton::State state = automaton.start();
    for (size_t i = 0; i < 256 && automaton.live_bytes(state) > 0; ++i) {
      int choice = data[i * 7 % size] % automaton.live_bytes(state);
      int byte = -1;
      while (choice >= 0) {
        ++byte;
        if (automaton.next(state, static_cast<uint8_t>(byte)) > Automaton::kOverflow) --choice;
      }
      text += static_cast<char>(byte);
      state = automaton.next(state, static_cast<uint8_t>(byte));
    }
    if (automaton.accepts(state)) AUTOGLM_CHECK(Json::accept(text), "what a schema's grammar writes is JSON");
  } catch (const autoglm::Error&) {
  }
  return 0;
}
