// The wire format of protocol buffers, byte by byte: examples of its specification and the borders of its numbers.
#include "base/protobuf.h"

#include "base/protobuf_reader.h"

#include <gtest/gtest.h>

#include <vector>

namespace autoglm {
namespace {

using namespace std::string_literals;

std::string written(const auto& fields) {
  ProtoWriter writer;
  fields(writer);
  return writer.take();
}

TEST(ProtoWriter, TheSpecificationsExamples) {
  EXPECT_EQ(written([](ProtoWriter& w) { w.number(1, 150); }), "\x08\x96\x01"s);
  EXPECT_EQ(written([](ProtoWriter& w) { w.text(2, "testing"); }), "\x12\x07testing"s);
  EXPECT_EQ(written([](ProtoWriter& w) {
              ProtoWriter inner;
              inner.number(1, 150);
              w.message(3, inner);
            }),
            "\x1a\x03\x08\x96\x01"s);
  const std::vector<int32_t> values = {3, 270, 86942};
  EXPECT_EQ(written([&](ProtoWriter& w) { w.packed(6, std::span(values)); }), "\x32\x06\x03\x8e\x02\x9e\xa7\x05"s);
}

TEST(ProtoWriter, NumbersAtTheirBorders) {
  EXPECT_EQ(written([](ProtoWriter& w) { w.number(1, 127); }), "\x08\x7f"s);
  EXPECT_EQ(written([](ProtoWriter& w) { w.number(1, 128); }), "\x08\x80\x01"s);
  EXPECT_EQ(written([](ProtoWriter& w) { w.number(1, ~uint64_t{0}); }),
            "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"s);
  EXPECT_EQ(written([](ProtoWriter& w) { w.integer(1, -1); }), "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"s);
  EXPECT_EQ(written([](ProtoWriter& w) { w.number(16, 1); }), "\x80\x01\x01"s);  // a key of two bytes
  EXPECT_EQ(written([](ProtoWriter& w) { w.fixed64(7, 0x0102030405060708); }), "\x39\x08\x07\x06\x05\x04\x03\x02\x01"s);
  EXPECT_EQ(written([](ProtoWriter& w) { w.fixed32(2, 0x01020304); }), "\x15\x04\x03\x02\x01"s);
  EXPECT_EQ(written([](ProtoWriter& w) { w.put_double(4, 1.0); }), "\x21\0\0\0\0\0\0\xf0\x3f"s);
  const std::string longer(200, 'x');
  EXPECT_EQ(written([&](ProtoWriter& w) { w.text(1, longer); }), "\x0a\xc8\x01" + longer);
}

TEST(ProtoWriter, DefaultsAreLeftOutUnlessTheirPresenceMatters) {
  EXPECT_EQ(written([](ProtoWriter& w) {
              w.number(1, 0);
              w.integer(1, 0);
              w.text(2, "");
              w.fixed64(3, 0);
              w.fixed32(4, 0);
              w.packed(5, std::span<const int>());
            }),
            "");
  EXPECT_EQ(written([](ProtoWriter& w) { w.put_number(1, 0); }), "\x08\0"s);
  EXPECT_EQ(written([](ProtoWriter& w) { w.put_text(1, ""); }), "\x0a\0"s);
  EXPECT_EQ(written([](ProtoWriter& w) { w.message(1, ProtoWriter()); }), "\x0a\0"s);
}

// Fields as "field=number" and "field:text".
std::vector<std::string> read(std::string_view bytes) {
  std::vector<std::string> fields;
  ProtoReader reader(bytes);
  while (reader.next()) {
    for (uint64_t field = 1; field < 20; ++field) {
      if (reader.is_number(field)) fields.push_back(std::to_string(field) + "=" + std::to_string(reader.number()));
      if (reader.is_text(field)) fields.push_back(std::to_string(field) + ":" + std::string(reader.text()));
    }
  }
  return fields;
}

TEST(ProtoReader, ReadsWhatIsWritten) {
  using Fields = std::vector<std::string>;
  EXPECT_EQ(read("\x08\x96\x01\x12\x07testing"s), (Fields{"1=150", "2:testing"}));
  EXPECT_EQ(read(written([](ProtoWriter& w) {
              w.fixed64(3, 7);
              w.fixed32(4, 7);
              w.number(5, ~uint64_t{0});
              w.put_text(16, "");
            })),
            (Fields{"5=18446744073709551615", "16:"}));
  EXPECT_EQ(read(""), Fields{});
}

TEST(ProtoReader, WhatIsMalformedEndsIt) {
  using Fields = std::vector<std::string>;
  for (const std::string& bad : {
           "\x08"s,                                          // no number
           "\x08\x96"s,                                      // cut within it
           "\x12\x05xyz"s,                                   // longer than there is
           "\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"s,  // much longer
           "\x19\x01"s, "\x1d\x01"s,                         // cut fixed numbers
           "\x0b"s, "\x0f"s,                                 // a group, no such type
           "\x02\x01x"s,                                     // field 0
           "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"s,  // too long a key
       }) {
    EXPECT_EQ(read("\x08\x01" + bad), Fields{"1=1"});
  }
}

}  // namespace
}  // namespace autoglm
