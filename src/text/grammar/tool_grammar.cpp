#include "text/grammar/tool_grammar.h"

#include <fmt/format.h>

#include "base/error.h"
#include "text/grammar/answer_text.h"
#include "text/grammar/json_schema.h"

namespace autoglm {
namespace {

using Node = Grammar::Node;

Json named(const Json& schema) {  // arguments are an object whatever else is said
  Json object = schema;
  if (!object.contains("type") && !object.contains("$ref") && !object.contains("anyOf")) object["type"] = "object";
  return object;
}

class Calls {
 public:
  Calls(Grammar& grammar, ToolCallForm form) : g_(grammar), form_(form) {}

  Node call(const ToolSet::Tool& tool) {
    switch (form_) {
      case ToolCallForm::hermes_json:
        return g_.sequence({g_.text("<tool_call>\n{\"name\": \"" + tool.name + "\", \"arguments\": "), object(tool),
                            g_.text("}\n</tool_call>")});
      case ToolCallForm::llama3_json:
        return g_.sequence({g_.text("{\"name\": \"" + tool.name + "\", \"parameters\": "), object(tool), g_.text("}")});
      case ToolCallForm::glm_line_json:
        return g_.sequence({g_.text(tool.name + "\n"), object(tool)});
      case ToolCallForm::glm_xml:
        return g_.sequence({g_.text("<tool_call>" + tool.name), line(), tags(tool), g_.text("</tool_call>")});
      case ToolCallForm::chatglm3_python:
        return g_.sequence({g_.text(tool.name + "\n"), g_.optional(g_.text(" ")), g_.text("```python\ntool_call("),
                            keywords(tool), g_.text(")\n```")});
      case ToolCallForm::none:
        break;
    }
    fail(Code::bad_request, "this model's family has no form for calling tools", "leave tool_choice at auto or none");
  }

  bool several() const { return form_ == ToolCallForm::hermes_json || form_ == ToolCallForm::glm_xml; }

 private:
  Node line() { return g_.optional(g_.text("\n")); }
  Node object(const ToolSet::Tool& tool) { return read_json_schema(g_, named(tool.parameters)); }

  struct Argument {
    std::string name;
    Json schema;
    bool required;
  };

  static std::vector<Argument> arguments(const ToolSet::Tool& tool) {
    const SchemaRules rules(tool.parameters);
    const Json flat = rules.flatten(named(tool.parameters), "#");
    const Json properties = flat.value("properties", Json::object());
    std::vector<Argument> all;
    if (!properties.is_object()) bad_schema("#", "properties", "not an object of schemas");
    for (const auto& [name, schema] : properties.items()) {
      Json whole = rules.flatten(schema, "#/properties/" + name);
      for (const char* definitions : {"$defs", "definitions"}) {  // references keep their meaning
        if (tool.parameters.contains(definitions)) whole[definitions] = tool.parameters[definitions];
      }
      all.push_back({name, std::move(whole), requires_property(flat, name)});
    }
    return all;
  }

  // A string is written as it is, up to the tag; of an enum, one of its values.
  Node tagged_value(const Json& schema, const std::string& name) {
    if (SchemaRules::types(schema, "#/properties/" + name) != kString) {
      return g_.sequence({read_json_schema(g_, schema), g_.text("</arg_value>")});
    }
    for (const char* keyword : {"pattern", "format", "minLength", "maxLength"}) {
      if (schema.contains(keyword)) {
        bad_schema("#/properties/" + name, keyword, "not supported for arguments of this family's calls");
      }
    }
    if (!schema.contains("enum")) return text_until(g_, "</arg_value>");
    std::vector<Node> values;
    for (const Json& value : schema["enum"]) {
      if (value.is_string()) values.push_back(g_.text(value.get<std::string>()));
    }
    return g_.sequence({g_.choice(values), g_.text("</arg_value>")});
  }

  Node tags(const ToolSet::Tool& tool) {
    std::vector<Node> parts;
    for (const Argument& argument : arguments(tool)) {
      const Node one = g_.sequence({g_.text("<arg_key>" + argument.name + "</arg_key>"), line(), g_.text("<arg_value>"),
                                    tagged_value(argument.schema, argument.name), line()});
      parts.push_back(argument.required ? one : g_.optional(one));
    }
    return g_.sequence(parts);
  }

  // Each argument that is there, commas between them.
  Node keywords(const ToolSet::Tool& tool) {
    Node after = g_.empty();
    Node first = g_.empty();
    const std::vector<Argument> all = arguments(tool);
    for (size_t i = all.size(); i-- > 0;) {
      const Node one = g_.sequence({g_.text(all[i].name + "="), read_json_schema(g_, all[i].schema)});
      const Node begins = g_.sequence({one, after});
      const Node follows = g_.sequence({g_.text(", "), one, after});
      const Grammar::Rule first_rule = g_.add_rule("arguments");
      const Grammar::Rule after_rule = g_.add_rule("arguments");
      g_.define(first_rule, all[i].required ? begins : g_.choice({begins, first}));
      g_.define(after_rule, all[i].required ? follows : g_.choice({follows, after}));
      first = g_.call(first_rule);
      after = g_.call(after_rule);
    }
    return first;
  }

  Grammar& g_;
  ToolCallForm form_;
};

}  // namespace

Grammar::Node tool_call_grammar(Grammar& grammar, ToolCallForm form, const ToolSet& tools, bool parallel) {
  if (tools.empty()) fail(Code::bad_request, "a tool must be called, and there are no tools");
  Calls calls(grammar, form);
  std::vector<Node> one;
  for (const ToolSet::Tool& tool : tools.all()) one.push_back(calls.call(tool));
  const Node any = grammar.choice(one);
  if (!parallel || !calls.several()) return any;
  return grammar.sequence({any, grammar.repeat(grammar.sequence({grammar.optional(grammar.text("\n")), any}), 0)});
}

}  // namespace autoglm
