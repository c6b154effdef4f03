// Threads that must not be in the way.
#pragma once

namespace autoglm {

/// Makes the calling thread at least this nice (0 to 19); never less nice than it is.
void be_nice(int niceness);

}  // namespace autoglm
