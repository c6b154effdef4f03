// A grammar in GBNF from anywhere: it compiles or is an Error, and its automaton survives any text and
// forgetting what it learnt.
#include <array>
#include <string>
#include <string_view>

#include "base/error.h"
#include "text/grammar/automaton.h"
#include "text/grammar/gbnf.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using autoglm::Automaton;
  try {
    const auto program = autoglm::compile_gbnf(std::string_view(reinterpret_cast<const char*>(data), size));
    Automaton automaton(program);
    Automaton::State state = automaton.start();
    Automaton::State other = state;
    for (size_t i = 0; i < 64 && state > Automaton::kOverflow; ++i) {
      const uint8_t byte = data[i % size];
      other = state;
      state = automaton.next(state, byte);
      if (i % 16 == 15) automaton.compact(std::array<Automaton::State*, 2>{&state, &other});
    }
  } catch (const autoglm::Error&) {
  }
  return 0;
}
