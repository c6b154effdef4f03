// What JSON Schema means, before any grammar: which keywords are known, where a $ref leads, what several schemas say
// together, whether two can hold for one value. Errors name the keyword and its place (#/properties/age/minimum).
#pragma once

#include <deque>
#include <string>
#include <string_view>

#include "text/chat_template.h"

namespace autoglm {

/// Types of JSON as bits.
enum JsonType : unsigned {
  kNull = 1,
  kBoolean = 2,
  kInteger = 4,  // a number without a fraction
  kNumber = 8,   // any number; implies kInteger where sets are compared
  kString = 16,
  kArray = 32,
  kObject = 64,
  kAnyType = 127,
};

[[noreturn]] void bad_schema(const std::string& path, std::string_view keyword, const std::string& what);

/// A document of schemas. Lives as long as what it returns is used.
class SchemaRules {
 public:
  explicit SchemaRules(const Json& root) : root_(&root) {}

  /// The keywords of a schema (an object) are all known. Error bad_request names the first that is not.
  static void check_keywords(const Json& schema, const std::string& path);
  /// What a "$ref" names. Only "#" and "#/..." are supported.
  const Json& target(const Json& reference, const std::string& path) const;
  /// The schema without "$ref" and "allOf": what they say is merged in. `schema` is an object.
  Json flatten(const Json& schema, const std::string& path, int depth = 0) const;
  /// One schema that says what both say. Error bad_request where that cannot be written.
  Json merge(const Json& a, const Json& b, const std::string& path) const;
  /// Types that the schema allows, as it says or as its keywords and values show.
  static unsigned types(const Json& schema, const std::string& path);
  /// Whether no text that we write for the one is valid for the other, both ways. Of flat schemas.
  bool disjoint(const Json& a, const Json& b, const std::string& path, int depth = 0) const;

 private:
  bool excludes(const Json& a, const Json& b, const std::string& path, int depth) const;
  const Json* root_;
};

/// The type of a value; kInteger and kNumber for a number without a fraction.
unsigned type_of(const Json& value);
/// "required", as a set.
bool requires_property(const Json& schema, const std::string& name);
/// Whether objects of the schema may have properties that it does not name, as we write them.
bool writes_more_properties(const Json& schema);

}  // namespace autoglm
