// A mapped model that somebody cuts while it is read: an error with its exit code instead of a crash.
#pragma once

#include "base/language.h"

namespace autoglm {

/// From now on such a fault ends the process with the message, hint and exit code of bad_model_file: on stderr, or as
/// one JSON object on stdout. SIGBUS from anything but a mapped file (mapping_at()) stays what it was: a bug.
void explain_bus_errors(bool json, Language language);

}  // namespace autoglm
