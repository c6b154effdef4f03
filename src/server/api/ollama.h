// Ollama's API: what its files share.
#pragma once

#include <string>

#include "server/api/api.h"
#include "server/api/fields.h"

namespace autoglm {

/// `model`, as the client named it: "NAME:latest" is NAME too.
std::string read_ollama_model(Fields& fields, const Served& served);

}  // namespace autoglm
