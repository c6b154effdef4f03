// What a running server says of itself in /metrics and /debug/requests, as facts for the doctor's rules.
#pragma once

#include <string>
#include <string_view>

#include "tune/facts.h"

namespace autoglm {

/// Puts `server` and `reuse` into facts. Error bad_file if the text is not one of our /metrics.
void read_server_facts(Facts& facts, std::string_view metrics);

/// Puts `slow` into facts, if one of the requests was. `requests`: the body of /debug/requests; what is not one says
/// nothing.
void read_request_facts(Facts& facts, std::string_view requests);

/// The sum of a metric over its labels; `label`: only those that have this, such as status="429". 0: there is none.
double metric_sum(std::string_view metrics, std::string_view name, std::string_view label = {});

}  // namespace autoglm
