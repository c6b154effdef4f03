// The table of families: one function a file.
#pragma once

#include <span>

#include "text/chat_spec.h"

namespace autoglm {

std::span<const ChatSpec> glm_chat_specs();
std::span<const ChatSpec> qwen_chat_specs();
std::span<const ChatSpec> llama_chat_specs();
std::span<const ChatSpec> gemma_chat_specs();

}  // namespace autoglm
