// OpenAI's Responses API: what its files share.
#pragma once

#include <memory>
#include <string>

#include "server/api/api.h"

namespace autoglm {

/// OpenAI's messages (messages.h) from `input`, a text or a list of items, and `instructions`, which may be empty.
/// Thoughts, text and calls that follow each other are one message of the assistant. Error bad_request with the place.
Json response_messages(const Json& input, const std::string& instructions);

/// What is written beside the items themselves.
struct ResponseForm {
  std::string path;     // of the request
  Json known;           // members of the response that are known before it is made: what was asked, in its order
  bool stream = false;  // the events that build it
  bool scores = false;  // with the text's tokens and their probabilities
  bool ignore_eos = false;
};
std::unique_ptr<Writer> response_writer(const Served& served, ResponseForm form);

}  // namespace autoglm
