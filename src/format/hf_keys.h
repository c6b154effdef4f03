// Keys of config.json that may stay unread, each with the reason.
#pragma once

#include <string_view>

namespace autoglm {

/// Whether a key cannot change what the model computes, whatever its value.
bool is_harmless_key(std::string_view key);

/// Whether a key around a `text_config` belongs to the other parts of the model (vision, audio) or is harmless.
bool is_harmless_outer_key(std::string_view key);

}  // namespace autoglm
