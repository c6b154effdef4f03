// The fields that OpenAI's chat and plain completions share.
#pragma once

#include "server/api/api.h"
#include "server/api/fields.h"

namespace autoglm {

/// Temperature to seed, stop, ignore_eos, deadlines: the defaults, with what the request says in their place.
Request read_request(Fields& fields, const Served& served, const HttpRequest& http);

/// Strings that end an answer. Errors name the field.
std::vector<std::string> read_stops(Fields& fields, std::string_view name);

/// Accepted and without effect, because they change no answer.
void ignore_harmless(Fields& fields);

/// `stream_options.include_usage`. Error if it is given without `stream`.
bool read_include_usage(Fields& fields, bool stream);

/// A request a choice: the same but for the seed.
std::vector<Request> copies(const Request& request, int64_t n);

/// Given by the client; never the 0 that stands for one from the system.
uint64_t seed_of(int64_t given);

}  // namespace autoglm
