// W3C trace context: which trace a request belongs to (https://www.w3.org/TR/trace-context).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace autoglm {

using TraceId = std::array<uint8_t, 16>;
using SpanId = std::array<uint8_t, 8>;

struct TraceParent {
  TraceId trace{};
  SpanId span{};
  bool sampled = false;
};

/// Of a `traceparent` header. Nothing for one that is malformed: then the trace begins here, as the standard has it.
std::optional<TraceParent> parse_traceparent(std::string_view header);

/// Lower-case hexadecimal digits.
std::string hex(const uint8_t* bytes, size_t count);

}  // namespace autoglm
