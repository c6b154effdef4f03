#!/usr/bin/env python3
"""Small templates that touch every feature of the engine, with what Jinja2 makes of them as Hugging Face configures it.

Writes tests/data/jinja/snippets.json: [template, text or null if it raises]. Needs transformers 5 with jinja2.

Usage: python3 tools/make_jinja_goldens.py
"""
import json
import re
from datetime import datetime
from pathlib import Path

import transformers.utils.chat_template_utils as hf

OUT = Path(__file__).resolve().parent.parent / "tests/data/jinja/snippets.json"

VARIABLES = {
    "s": "Hello World", "empty": "", "zh": "你好，世界", "emoji": "a👋🏽b", "html": "<a href=\"x\">'&'</a>",
    "lines": "one\ntwo\r\nthree\n\nfive", "padded": " \t\u3000x y\u00a0\n", "quote": "it's", "both": "it's \"so\"",
    "n": 42, "neg": -7, "zero": 0, "big": 9007199254740993, "f": 3.14159, "half": 2.5, "tiny": 1e-7, "huge": 1e22, "whole": 10.0,
    "t": True, "no": False, "nothing": None,
    "l": [3, 1, 2], "words": ["banana", "Apple", "cherry", "apple"], "mixed": [1, "two", 3.0, None, True, [4], {"k": "v"}],
    "nested": [[1, 2], [3, [4, 5]]], "pairs": [["a", 1], ["b", 2]],
    "d": {"b": 1, "a": 2, "C": 3}, "deep": {"x": {"y": [10, {"z": "end"}]}}, "items_key": {"items": "mine", "get": 5},
    "users": [{"name": "Ann", "age": 30, "city": "Oslo"}, {"name": "bob", "age": 25, "city": "rome"},
              {"name": "Cid", "age": 30, "city": "oslo"}, {"name": "Dan"}],
    "odd_text": "tab\tbell\x07 nul\x00 del\x7f nbsp\u00a0 zwsp\u200b line\u2028 é \u0130 ß ŉ Σ ΑΣ ǆ",
    "jsonish": {"a": [1, 2.5, None, True, {"é": "\n\"\\/\u2028\x01"}], "": {}, "e": []},
}

S = []
add = S.append


def all_of(lines):
    for line in lines.strip("\n").split("\n"):
        if line.strip():
            add(line)


# Literals, printing, operators.
all_of(r"""
{{ 1 }}|{{ 1.0 }}|{{ 1e3 }}|{{ 1.5e-10 }}|{{ 0x1F }}|{{ 0b101 }}|{{ 0o17 }}|{{ 1_000 }}|{{ 1_0.2_5 }}
{{ true }}{{ True }}{{ false }}{{ False }}{{ none }}{{ None }}
{{ 'a' "b" 'c' }}|{{ 'it\'s' }}|{{ "q\"q" }}|{{ 'a\nb\tc\\d' }}|{{ '\x41\u00e9\U0001F600\101\q' }}
{{ [1, 'a', 2.5, none, true, [], {}] }}|{{ (1,) }}|{{ () }}|{{ (1, 2) }}|{{ {'a': 1, 2: 'b', none: true} }}
{{ 1, 2 }}|{{ [1, 2,] }}|{{ {'a': 1,} }}
{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 // -2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 7.5 // 2 }} {{ -7.5 % 2 }} {{ 7.5 % -2 }}
{{ 7 / 2 }} {{ 8 / 2 }} {{ 1 / 3 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 2 ** 0.5 }} {{ 2 ** 3 ** 2 }} {{ -2 ** 2 }} {{ (-2) ** 3 }}
{{ 1 + 2 * 3 - 4 }} {{ (1 + 2) * 3 }} {{ 1 + 2.5 }} {{ true + 1 }} {{ -true }} {{ +5 }} {{ --5 }} {{ - -5 }}
{{ 'ab' + 'cd' }} {{ 'ab' * 3 }} {{ 3 * 'ab' }} {{ 'ab' * 0 }} {{ 'ab' * -1 }} {{ [1] + [2] }} {{ [1, 2] * 2 }} {{ (1,) + (2,) }}
{{ 1 ~ 2 ~ 'a' ~ none ~ 1.5 ~ [1] }} {{ 1 ~ 2 + 3 }} {{ 2 * 3 ~ 4 }}
{{ 1 < 2 }} {{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 == 1.0 }} {{ 1 == true }} {{ '1' == 1 }} {{ 1 != 2 }} {{ 2 >= 2 }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} {{ (1, 2) < (1,) }}
{{ 1 in [1, 2] }} {{ 3 not in [1, 2] }} {{ 'a' in 'cat' }} {{ '' in 'x' }} {{ 'b' in d }} {{ 'b' in {'b': 1} }} {{ 1 in (1,) }} {{ not 1 in [2] }} {{ 5 in range(10) }} {{ 2.0 in range(3) }}
{{ not true }} {{ not not 1 }} {{ true and false or true }} {{ 1 and 2 }} {{ 0 or 'x' }} {{ '' or [] or 0 }} {{ 1 or undefined_x.y }}
{{ 'yes' if true else 'no' }} {{ 'yes' if false else 'no' }} [{{ 'yes' if false }}] {{ 1 if 0 else 2 if 0 else 3 }}
{{ f }} {{ half }} {{ tiny }} {{ huge }} {{ whole }} {{ big }} {{ 1e16 }} {{ 1e15 }} {{ 123456789012345678.0 }} {{ 0.1 + 0.2 }} {{ 1e-4 }} {{ 1e-5 }} {{ -0.0 }} {{ 1e308 * 10 }} {{ 5e-324 }}
{{ 9223372036854775807 }} {{ -9223372036854775807 }} {{ 2 ** 62 }}
{{ mixed }} {{ d }} {{ deep }} {{ quote }} {{ [quote, both, lines, zh, emoji] }} {{ [odd_text] }}
{{ l == [3, 1, 2] }} {{ d == {'a': 2, 'b': 1, 'C': 3} }} {{ [] == () }} {{ none == false }} {{ nope == nope2 }} {{ none != 0 }}
{{ 10 % 3 * 2 }} {{ 2 * 10 % 3 }} {{ 1 - 1 - 1 }} {{ 8 / 4 / 2 }} {{ 100 // 7 // 2 }}
{{ -n }} {{ -n|abs }} {{ n|string|length }} {{ 1.|string }}
{{ 1.real }}
{{ [1,2,3].0 }} {{ nested.1.1.0 }} {{ deep.x.y.1.z }} {{ deep['x']['y'][1]['z'] }}
{{ 1/0 }}
{{ 1 // 0 }}
{{ 1 % 0 }}
{{ 'a' + 1 }}
{{ 1 + 'a' }}
{{ [1] + (2,) }}
{{ none + 1 }}
{{ 'a' < 1 }}
{{ none < 1 }}
{{ [1] < 'a' }}
{{ 1 in 5 }}
{{ 1 in 'abc' }}
{{ -'a' }}
{{ {} < {} }}
{{ {[1]: 2} }}
{{ 'a' - 'b' }}
{{ 3 * none }}
{{ 'x' * 1.5 }}
{{ 'a' 1 }}
{{ 1 2 }}
{{ }}
{{ (1 }}
{{ 1) }}
{{ [1, 2 }}
{{ 'abc }}
{{ a.1b }}
{{ a b }}
{{ foo(1, a=2, 3) }}
{{ foo(a=1, a=2) }}
{{ $ }}
{{ a ? b : c }}
{{ a && b }}
{% %}
{% if %}x{% endif %}
{% if true %}
{% endif %}
{% for x %}{% endfor %}
{% for in x %}{% endfor %}
{% unknown %}
{% set %}
{% set 1 = 2 %}
{% set true = 2 %}
{% set a.b = 2 %}
{% else %}
{% break %}
{% continue %}
{% macro %}{% endmacro %}
{% macro m(a=1, b) %}{% endmacro %}
{# unclosed
{% raw %} unclosed
{{ x
{% if x
""")

# White space control.
for body in ["{% if true %}", "{%- if true %}", "{% if true -%}", "{%- if true -%}", "{%+ if true %}", "{% if true +%}"]:
    add(f"a \n  {body}\n  b \n  {{% endif %}}\n c")
    add(f"  {body} x {{%- endif %}} y")
all_of(r"""
a {{- 1 -}} b|a {{ 1 }} b|a{{- 1 }} b
a {#- c -#} b|a {# c #} b
""")
for text in ["a\n  {# c #}\n  b", "a\n  {#- c #}\n  b", "a\n  {# c -#}\n  b", "a {# c #} \n b", "  {# c #}x", "{#+ c +#}\n x", "{# a #}{# b #}\nx",
             "x\n\n", "x\n", "\n\nx", "a\r\nb\rc\n", "{% raw %}{{ x }}{% endraw %}", "a\n  {% raw %}\n {{ x }} {% if %}\n  {% endraw %}\n b",
             "a {%- raw -%} \n {{ y }} {%- endraw -%} \n b", "{%raw%}{%endraw%}x", "{% raw -%}  {{ q }}  {%- endraw %}\n z",
             "{{ 'a' }}\n{{ 'b' }}\n", "  {{ 'a' }}\n  {% set x = 1 %}\n  {{ x }}", "\t{% set x = 1 %}\t\nz", "a{% set x = 1 %}\n\nb", "{%- set x = 1 %}\n{{ x }}",
             "{% for i in l %}\n  {{ i }}\n{% endfor %}\nend", "{% for i in l -%}\n  {{ i }}\n{%- endfor %}\nend", "{{ '}}' }} {{ '{%' }}", "{{ {'a': {'b': 1}} }}",
             "{{ {'a': {'b': 1}}['a']['b'] }}", "{ {a} } {x%} #} {", "{{'{'}}", "text { {% if true %}{x}{% endif %}", "{#- a -#}", "a\u3000{%- if true %}b{% endif %}",
             "  \n  {% if true %}x{% endif %}", "x {% if true %}\n y{% endif %}\n z", "{% if true %}\n\nx{% endif %}", "{{ 1 }}{#\nlong\n#}\n{{ 2 }}", "{%if true%}{{1}}{%endif%}",
             "{% if true %}  \n{% endif %}|", "a  {%- if true %} b {% endif -%}  c", "{{- ' x ' -}}  y", "1 {%+ if true +%}\n 2 {%+ endif +%}\n 3", "{{ 1 }}{{ 2 -}}\n\n{{ 3 }}"]:
    add(text)

# Variables, undefined.
all_of(r"""
[{{ nope }}] [{{ d.nope }}] [{{ d['nope'] }}] [{{ l[10] }}] [{{ s[100] }}] [{{ nothing.x }}] [{{ n.x }}] [{{ l.x }}]
{{ nope is defined }} {{ s is defined }} {{ d.nope is defined }} {{ d.a is defined }} {{ nope is undefined }} {{ l[9] is undefined }}
{{ nope|default('x') }} {{ nope|d('y') }} {{ ''|default('z') }} {{ ''|default('z', true) }} {{ none|default('w') }} {{ none|default('w', boolean=true) }} [{{ nope|default }}]
{{ nope or 'alt' }} {{ not nope }} {{ nope == none }} {{ [nope] }} {{ nope ~ 'x' }} {{ nope|length }} {{ nope|string }}| {{ nope|upper }}| {{ nope|list }} {{ nope|join(',') }}| {{ nope in [1] }} {{ 1 in nope }}
{% for x in nope %}x{% else %}none{% endfor %} {{ nope|first }}| {{ nope|last }}| {{ nope|sort }} {{ nope|sum }} {{ nope|trim }}| {{ nope|replace('a','b') }}| {{ nope|items|list }} {{ nope|escape }}| {{ nope|min }}| {{ nope|unique|list }} {{ nope|map('upper')|list }} {{ nope|reverse|list }}
{{ nope.x }}
{{ nope['x'] }}
{{ nope() }}
{{ nope + 1 }}
{{ 1 + nope }}
{{ 'a' + nope }}
{{ -nope }}
{{ nope < 1 }}
{{ nope|int }}
{{ nope|float }}
{{ nope|abs }}
{{ nope|round }}
{{ nope|indent }}
{{ nope|tojson }}
{{ nope|dictsort }}
{{ d.nope.x }}
{{ d.nope() }}
{{ d.x.y is defined }}
{{ nope in 'abc' }}
{{ s.nope() }}
{{ l.append(1) }}
{{ d.update({'x': 1}) }}
{{ d.pop('a') }}
{{ d.setdefault('q', 1) }}
{{ l.append is defined }} {{ d.pop is defined }} {{ l.count is defined }}
{{ s.__class__ }}|{{ s.__class__ is defined }}
{{ s.__class__.mro() }}
{{ ''|attr('__class__') }}|
{{ loop }}|{{ caller }}
{{ undefined }}|{{ foo.bar if foo is defined else 'safe' }}
{{ items_key.items() }}|{{ items_key['items'] }}|{{ items_key.get('get') }}|{{ items_key['get'] }}
{% set x = 1 %}{{ x }}{% set x = x + 1 %}{{ x }}
{% set a, b = 1, 2 %}{{ a }}{{ b }} {% set (a, b) = [3, 4] %}{{ a }}{{ b }} {% set a, (b, c) = 1, (2, 3) %}{{ a }}{{ b }}{{ c }}
{% set a, b = [1] %}
{% set a, b = 5 %}
{% set x %}a {{ 1 + 1 }} b{% endset %}[{{ x }}] {% set x | upper %}abc{% endset %}{{ x }} {% set x | replace('a', 'b') | title %}aa{% endset %}{{ x }}
{% set ns = namespace(a=1) %}{% set ns.a = 2 %}{% set ns.b = 3 %}{{ ns.a }}{{ ns.b }}{{ ns.c is defined }}{{ ns }}
{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a + ns.b }} {{ ns['a'] }} {% set ns.x %}blk{% endset %}{{ ns.x }}
{% set ns = namespace(_a=1) %}
{% set ns = namespace() %}{% set ns._a = 1 %}
{% set ns = 1 %}{% set ns.a = 1 %}
{% set nsx.a = 1 %}
{% with a=1, b=2 %}{{ a + b }}{% endwith %}[{{ a }}] {% with %}{% set q = 1 %}{{ q }}{% endwith %}[{{ q }}]
{% set a = 5 %}{% with a=1, b=a %}{{ a }}{{ b }}{% endwith %}{{ a }}
{% if zero %}a{% elif n %}b{% else %}c{% endif %} {% if not n %}a{% elif zero %}b{% else %}c{% endif %} {% if nothing %}x{% endif %}
{% if [] %}1{% endif %}{% if [0] %}2{% endif %}{% if {} %}3{% endif %}{% if '' %}4{% endif %}{% if ' ' %}5{% endif %}{% if 0.0 %}6{% endif %}{% if range(0) %}7{% endif %}{% if d.items() %}8{% endif %}
{% if 1, 2 %}t{% endif %}
{% if true %}{% set inner = 1 %}{% endif %}{{ inner }}
{% set x = 1 %}{% for i in [1] %}{% set x = 2 %}{{ x }}{% endfor %}{{ x }}
{% set x = 1 %}{% for i in [1,2] %}{{ x }}{% set x = x + 5 %}{{ x }};{% endfor %}{{ x }}
{% for i in [1, 2] %}{% if i == 1 %}{% set y = 'y' %}{% endif %}[{{ y }}]{% endfor %}
{% print 1, 'a' %}
{% filter upper %}abc {{ s }}{% endfilter %} {% filter replace('b', 'X')|lower %}aBbC{% endfilter %} {% filter trim %}  x  {% endfilter %}|
{% generation %}abc{% set z = 1 %}{{ z }}{% endgeneration %}[{{ z }}]
{% do 1 %}
{% include 'x' %}
{% extends 'x' %}
{% import 'x' as y %}
{% from 'x' import y %}
{% raise_exception('x') %}
{{ raise_exception('boom') }}
{{ raise_exception() }}
{% if false %}{{ raise_exception('boom') }}{% endif %}ok
""")

# Loops.
all_of(r"""
{% for i in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }} {% endfor %}
{% for i in l %}{{ loop.previtem }}<{{ i }}>{{ loop.nextitem }} {% endfor %}
{% for i in l %}{{ loop.cycle('a', 'b') }}{{ loop.changed(i > 1) }}{{ loop.depth }}{{ loop.depth0 }} {% endfor %}
{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %} {% for k in d %}{{ k }}{% endfor %} {% for k in d.keys() %}{{ k }}{% endfor %} {% for v in d.values() %}{{ v }}{% endfor %}
{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %} {% for a, b in pairs %}{{ a }}{{ b }}{% endfor %}
{% for a, b in l %}{% endfor %}
{% for c in zh %}{{ c }}|{% endfor %} {% for c in emoji %}{{ c }}|{% endfor %}
{% for i in [] %}x{% else %}empty{% endfor %} {% for i in l %}x{% else %}empty{% endfor %}
{% for i in l if i > 1 %}{{ i }}{{ loop.index }}/{{ loop.length }} {% endfor %} {% for i in l if i > 9 %}x{% else %}none{% endfor %}
{% for i in range(5) if i is odd %}{{ i }}{% endfor %} {% for u in users if u.age is defined and u.age > 26 %}{{ u.name }}{% endfor %}
{% for i in range(10) %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %} {% for i in range(5) %}{% if i % 2 %}{% continue %}{% endif %}{{ i }}{% endfor %}
{% for i in range(3) %}{% break %}{% else %}else{% endfor %} {% for i in range(3) %}{% continue %}{% else %}else{% endfor %} {% for i in [1] %}{% if i == 2 %}{% continue %}{% endif %}{% else %}else{% endfor %}
{% for i in [1,2] %}{% for j in [1,2] %}{% if j == 2 %}{% break %}{% endif %}{{ i }}{{ j }} {% endfor %}{% endfor %}
{% for i in [1,2] %}{% for j in [3,4] %}{{ loop.index }}{% endfor %}{{ loop.index }}{% endfor %}
{% for x in nested recursive %}{% if x is iterable %}[{{ loop(x) }}]{% else %}{{ x }}{{ loop.depth }}{% endif %}{% endfor %}
{% for x in [1] %}{{ loop([2]) }}{% endfor %}
{% set ns = namespace(n=0) %}{% for i in l %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}
{% set ns = namespace(stop=false) %}{% for i in range(6) if not ns.stop %}{{ i }}{% if i == 2 %}{% set ns.stop = true %}{% endif %}{% endfor %}
{% for i in 5 %}{% endfor %}
{% for i in none %}{% endfor %}
{% for i in 1.5 %}{% endfor %}
{% for i in range(3) %}{{ i }}{% endfor %} {% for i in range(1, 7, 2) %}{{ i }}{% endfor %} {% for i in range(5, 0, -2) %}{{ i }}{% endfor %} {{ range(3) }} {{ range(1, 10, 3) }} {{ range(10)[2] }} {{ range(10)[2:5] }} {{ range(10)[::-2]|list }} {{ range(3)|length }}
{{ range(100001) }}
{{ range(1, 2, 0) }}
{{ range('a') }}
{{ range(1.5) }}
{% for i in 'ab' %}{{ i }}{% endfor %}{{ i }}
{% for i in l|sort %}{{ i }}{% endfor %} {% for i in l|reverse %}{{ i }}{% endfor %} {% for i in l[::-1] %}{{ i }}{% endfor %} {% for i in l|map('string') %}{{ i }}{{ loop.last }}{% endfor %}
{% for loop_var in [1,2] %}{{ loop.index }}{% endfor %}{{ loop is defined }}
{% for item in users %}{{ loop.index }}.{{ item.name }}{% if not loop.last %}, {% endif %}{% endfor %}
{% for u in users|sort(attribute='name') %}{{ u.name }} {% endfor %}{% for u in users|selectattr('age')|sort(attribute='age,name', reverse=true) %}{{ u.name }} {% endfor %}
{% for g in users|selectattr('city', 'defined')|groupby('city') %}{{ g.grouper }}:{{ g.list|length }}{{ g[0] }} {% endfor %} {% for c, us in users|groupby('city', default='none') %}{{ c }}={{ us|map(attribute='name')|join('+') }} {% endfor %}
{{ users|selectattr('city', 'defined')|groupby('city', case_sensitive=true)|map('first')|list }}
{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.next() }}{{ c.reset() }}{{ c.current }} {% set j = joiner('|') %}{{ j() }}a{{ j() }}b{{ j() }} {% set k = joiner() %}{{ k() }}{{ k() }}
""")

# Macros.
all_of(r"""
{% macro m() %}x{% endmacro %}{{ m() }}{{ m() }} {{ m }} {{ m.name }}
{% macro m(a, b=2, c='z') %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }} {{ m(1, 3) }} {{ m(1, c=4) }} {{ m(c=1, a=2) }} {{ m() }} {{ m(b=5) }}
{% macro m(a) %}[{{ a is defined }}{{ varargs }}{{ kwargs }}]{% endmacro %}{{ m(1, 2, 3, x=4) }} {{ m() }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(b=2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, a=2) }}
{% macro m(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}{{ m(1, 2) }}
{% macro m(a) %}{{ a.x }}{% endmacro %}{{ m() }}
{% macro wrap(t) %}<{{ t }}>{{ caller() }}</{{ t }}>{% endmacro %}{% call wrap('b') %}in{{ n }}{% endcall %}
{% macro each(xs) %}{% for x in xs %}{{ caller(x, loop.index) }};{% endfor %}{% endmacro %}{% call(v, i=0) each(l) %}{{ i }}={{ v }}{% endcall %}
{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}
{% macro m() %}x{% endmacro %}{% call m() %}y{% endcall %}
{% macro m() %}{{ caller is defined }}{% endmacro %}{{ m() }}{% call m() %}{% endcall %}
{% macro f(n) %}{{ n }}{% if n > 0 %},{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(5) }}
{% macro f(x) %}{% if x is mapping %}{ {%- for k, v in x.items() %}{{ k }}:{{ f(v) }}{% endfor %} }{% elif x is iterable and x is not string %}[{% for i in x %}{{ f(i) }}{% endfor %}]{% else %}{{ x }}{% endif %}{% endmacro %}{{ f(deep) }}
{% set x = 1 %}{% macro m() %}{{ x }}{% endmacro %}{{ m() }}{% set x = 2 %}{{ m() }}
{% macro m() %}{{ later }}{% endmacro %}{% set later = 3 %}{{ m() }}
{% macro m() %}{% set inside = 1 %}{{ inside }}{% endmacro %}{{ m() }}[{{ inside }}]
{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}B{% endmacro %}{{ a() }}
{% macro m(x) %}{{ x }}{% endmacro %}{{ m('a') + m('b') }} {{ m('a')|upper }} {{ m(m('q')) }} {{ m('x') ~ 1 }} {{ m('  x ')|trim }}|{{ m('a') == 'a' }} {{ m('a') is string }} {{ m is callable }}
{% macro m(a, b) %}{{ a }}-{{ b }}{% endmacro %}{{ m(*[1, 2]) }} {{ m(**{'a': 1, 'b': 2}) }} {{ m(1, *[2]) }} {{ m(1, **{'b': 3}) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(*5) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(**5) }}
{% for i in [1, 2] %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}
{% for i in [1, 2] %}{% macro m() %}{{ loop is defined }}{% endmacro %}{{ m() }}{% endfor %}
{% macro outer() %}{% macro inner(x) %}({{ x }}){% endmacro %}{{ inner(1) }}{% endmacro %}{{ outer() }}
{%- macro m(c) -%}
{{ undefined_fn() }}
{% macro m(x=[]) %}{{ x }}{% endmacro %}{{ m() }}{{ m([1]) }} {% macro q(x=nope) %}{{ x is defined }}{% endmacro %}{{ q() }}
{% macro m() %}{% for i in l %}{{ i }}{% endfor %}{% endmacro %}{{ m() }} {% macro r() %}{{ return }}{% endmacro %}{{ r() }}|
""")
add("{% macro m(a) -%}\n  {{ a }}\n{%- endmacro %}\n{{ m(1) }}")

# Subscripts and slices.
for target in ["l", "s", "zh", "emoji", "(1, 2, 3, 4, 5)", "range(7)|list"]:
    for sub in ["[0]", "[-1]", "[1:]", "[:2]", "[:-1]", "[::2]", "[::-1]", "[1:3]", "[-2:]", "[5:1]", "[5:1:-1]", "[:]", "[-100:100]", "[100:]", "[3:0:-2]"]:
        add("{{ (%s)%s }}" % (target, sub))
all_of(r"""
{{ l['0'] }}|{{ l[1.0] }}|{{ l[none] }}|{{ l[true] }}|{{ s['upper']() }}|{{ d[1] }}|{{ d[none] }}
{{ l[1:'a'] }}
{{ l[::0] }}
{{ d[1:2] }}
{{ nothing[1:] }}
{{ n[0:1] }}
{{ nope[1:] }}
{{ (l|map('string'))[0] }}|
{{ (l|map('string'))[0:1] }}
{{ s.upper() }} {{ s.lower() }} {{ s.title() }} {{ 'hELLO wORLD'.capitalize() }} {{ s.swapcase() }} {{ "they're bill's".title() }} {{ 'éa ÉA ß'.upper() }} {{ 'ΑΣ ΑΣΑ Σ'.lower() }} {{ 'ǆ ŉ ﬁ'.upper() }} {{ 'ǆabc'.title() }} {{ 'İ'.lower() }}
{{ padded.strip() }}|{{ padded.lstrip() }}|{{ padded.rstrip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'abcba'.strip('ab') }}|{{ '你a你'.strip('你') }}|{{ 'xa'.lstrip('x') }}|{{ 'ax'.rstrip('x') }}|{{ ' x '.strip(none) }}|
{{ 'a,b,,c'.split(',') }} {{ ' a  b c '.split() }} {{ 'a b c'.split(' ', 1) }} {{ 'a b c'.split(none, 1) }} {{ 'a b c '.split(maxsplit=1) }} {{ 'abc'.split('x') }} {{ ''.split() }} {{ ''.split(',') }} {{ 'aXbXc'.rsplit('X', 1) }} {{ ' a b c '.rsplit(none, 1) }} {{ 'a--b--c'.split('--') }} {{ 'a b'.split(' ', 0) }} {{ ' a b '.split(none, 0) }}
{{ 'x'.split('') }}
{{ 'x'.split(1) }}
{{ lines.splitlines() }} {{ lines.splitlines(true) }} {{ 'a\x0bb\x0cc\u2028d\x85e'.splitlines() }} {{ ''.splitlines() }} {{ 'a\n'.splitlines() }}
{{ s.startswith('He') }} {{ s.startswith(('x', 'H')) }} {{ s.endswith('ld') }} {{ s.endswith(('a', 'b')) }} {{ s.startswith('l', 2) }} {{ s.startswith('') }} {{ s.endswith('World', 0, 5) }} {{ ''.startswith('') }} {{ 'a'.startswith('', 5) }}
{{ s.startswith(1) }}
{{ s.startswith(['H']) }}
{{ s.replace('l', 'L') }} {{ s.replace('l', 'L', 1) }} {{ 'aaa'.replace('', '-') }} {{ 'abc'.replace('b', '') }} {{ '你好'.replace('', '.') }} {{ 'aa'.replace('', '-', 1) }} {{ 'aaaa'.replace('aa', 'b') }} {{ ''.replace('', 'x') }}
{{ s.replace('l') }}
{{ s.replace(1, 'a') }}
{{ s.find('o') }} {{ s.find('o', 5) }} {{ s.find('zz') }} {{ s.rfind('o') }} {{ zh.find('世') }} {{ s.index('W') }} {{ s.count('l') }} {{ s.count('') }} {{ 'aaaa'.count('aa') }} {{ s.find('o', -4) }} {{ s.find('', 3) }} {{ s.find('', 100) }} {{ s.rfind('l', 0, 5) }} {{ s.rfind('') }} {{ s.count('l', 3) }}
{{ s.index('zz') }}
{{ ', '.join(['a', 'b']) }} {{ ''.join(words) }} {{ '-'.join('abc') }} {{ ','.join(d) }} {{ ', '.join(d.keys()) }} {{ 'x'.join([]) }}|
{{ ', '.join([1]) }}
{{ ','.join(5) }}
{{ 'a'.isalpha() }} {{ 'a1'.isalnum() }} {{ '12'.isdigit() }} {{ '²'.isdigit() }} {{ '½'.isnumeric() }} {{ '१'.isdecimal() }} {{ ' \t'.isspace() }} {{ ''.isalpha() }} {{ 'Ab'.islower() }} {{ 'ab1'.islower() }} {{ 'AB'.isupper() }} {{ 'Ab Cd'.istitle() }} {{ 'é'.isascii() }} {{ 'a_1'.isidentifier() }} {{ '1a'.isidentifier() }} {{ 'a\n'.isprintable() }} {{ '你'.isalpha() }} {{ '1'.islower() }} {{ ''.isascii() }} {{ ''.isspace() }}
{{ 'ab'.center(6) }}|{{ 'ab'.center(7, '*') }}|{{ 'abc'.center(6, '*') }}|{{ 'ab'.ljust(4) }}|{{ 'ab'.rjust(4, '.') }}|{{ '-5'.zfill(4) }}|{{ '5'.zfill(3) }}|{{ 'abc'.zfill(2) }}|{{ '你'.ljust(3, '好') }}|{{ 'a'.center(4) }}|{{ 'ab'.center(5) }}
{{ 'ab'.center(6, 'xy') }}
{{ 'prefix-x'.removeprefix('prefix-') }} {{ 'x.txt'.removesuffix('.txt') }} {{ 'abc'.removeprefix('x') }} {{ 'a=b=c'.partition('=') }} {{ 'a=b=c'.rpartition('=') }} {{ 'abc'.partition('=') }} {{ 'abc'.rpartition('=') }} {{ 'a\tb'.expandtabs(4) }} {{ 'a\tb'.expandtabs() }}|
{{ 'a{}b{}c'.format(1, 'x') }} {{ '{0}{1}{0}'.format('a', 'b') }} {{ '{x}-{y}'.format(x=1, y=2) }} {{ '{{}}'.format() }} {{ '{:>5}|{:<5}|{:^5}|{:*^7}'.format('a', 'b', 'c', 'd') }} {{ '{:05d} {:+d} {:,} {:x} {:#x} {:b} {:o} {:X}'.format(42, 42, 1234567, 255, 255, 5, 8, 255) }} {{ '{:.2f} {:10.3f} {:e} {:g} {:.1%} {:08.2f}'.format(3.14159, 2.5, 12345.678, 0.0001, 0.256, -3.14159) }} {{ '{!r} {!s}'.format('a', 'b') }} {{ '{0.x} {0[y]}'.format({'x': 1, 'y': 2}) }} {{ '{0[0]}'.format([5]) }} {{ '{:.3}'.format('abcdef') }} {{ '{:{}}|'.format('a', 5) }} {{ '{}'.format(none) }} {{ '{:d}'.format(true) }} {{ '{:5}|{:<5}|'.format(42, 42) }} {{ '{: d} {:_}'.format(5, 1000000) }} {{ '{:.4g} {:g} {:g}'.format(1234567.0, 1e20, 100000.0) }} {{ '{:.3}'.format(3.14159) }} {{ '{}'.format(1.0) }}
{{ '{}'.format() }}
{{ '{x}'.format() }}
{{ '{'.format() }}
{{ '}'.format() }}
{{ '{:d}'.format('a') }}
{{ '{:zz}'.format(1) }}
{{ '%s and %s' % ('a', 1) }} {{ '%d %i %5d|%-5d|%05d|%+d' % (1, 2.7, 3, 4, 5, 6) }} {{ '%f %.2f %e %g %G' % (1.5, 2.345, 12345.678, 0.00001, 1e20) }} {{ '%x %X %o %#x' % (255, 255, 8, 255) }} {{ '%c%c' % ('a', 98) }} {{ '%r %s' % ('a', none) }} {{ '%%' % () }} {{ '%(a)s %(b)d' % {'a': 'x', 'b': 5} }} {{ '%s' % 'only' }} {{ '%s' % [1, 2] }} {{ '%10s|%-10s|%.2s' % ('a', 'b', 'cde') }} {{ '%*d' % (5, 3) }} {{ '%s' % d }} {{ '% d' % 5 }} {{ '%5.1f|%-8.3f|%08.3f' % (3.14159, 2.5, -1.5) }}
{{ '%s %s' % 'a' }}
{{ '%s' % (1, 2) }}
{{ '%d' % 'a' }}
{{ '%q' % 1 }}
{{ '%(a)s' % 5 }}
{{ '%' % 1 }}
{{ 'x' % 5 }}
{{ 'x' % {} }}|{{ 'x' % [] }}
{{ 'a'.encode() }}
{{ 'a'.upper(1) }}
{{ 'a'.nope() }}
{{ 'a'.nope }}|
{{ d.get('a') }} {{ d.get('zz') }} {{ d.get('zz', 'dflt') }} {{ d.get('a', 1) }} {{ d.keys() }} {{ d.values() }} {{ d.items() }} {{ d.keys()|list }} {{ d.items()|list }} {{ d.items()|length }} {{ d.copy() }} {{ d|length }} {{ {}.items() }}
{{ d.get() }}
{{ d.get([]) }}
{{ d.items()[0] }}|
{{ l.index(1) }} {{ l.count(3) }} {{ [1, 1, 2].count(1) }} {{ (1, 2).index(2) }} {{ l.copy() }}
{{ l.index(99) }}
{{ d.a }} {{ d['b'] }} {{ d.C }} {{ dict(a=1, b=2) }} {{ dict({'x': 1}, y=2) }} {{ dict([('a', 1)]) }} {{ dict() }} {{ dict(a=1).a }} {{ {'a': 1, 'a': 2} }} {{ {1: 'x', 1.0: 'y', true: 'z'} }} {{ dict.fromkeys(['a', 'b'], 0) }}
{{ 'abc'|list }} {{ d|list }} {{ (1, 2)|list }} {{ range(3)|list }} {{ d.items()|list }} {{ zh|list }}
""")

# Filters.
all_of(r"""
{{ neg|abs }} {{ -1.5|abs }} {{ true|abs }}
{{ 'a'|abs }}
{{ l|batch(2)|list }} {{ range(5)|batch(2, 'x')|list }} {{ range(7)|slice(3)|list }} {{ range(7)|slice(3, 'x')|list }} {{ []|batch(2)|list }} {{ range(2)|slice(3)|list }}
{{ 'hELLO'|capitalize }} {{ 'éa'|capitalize }} {{ ''|capitalize }}| {{ 5|capitalize }} {{ 'a'|center(5) }}| {{ 'ab'|center }}|
{{ words|count }} {{ 'abc'|length }} {{ zh|length }} {{ emoji|length }} {{ d|length }} {{ range(5)|length }}
{{ 5|length }}
{{ none|length }}
{{ d|dictsort }} {{ d|dictsort(true) }} {{ d|dictsort(by='value') }} {{ d|dictsort(reverse=true) }} {{ d|dictsort(false, 'value', true) }}
{{ d|dictsort(by='x') }}
{{ html|e }} {{ html|escape }} {{ html|escape|escape }} {{ html|e|forceescape }} {{ ('<'|e) + '<' }} {{ '<' + ('<'|e) }} {{ ('<'|e) ~ '<' }} {{ '<'|safe }} {{ '<'|safe|e }} {{ 'a'|safe is escaped }} {{ 'a' is escaped }} {{ ['<'|e] }}
{{ 1|filesizeformat }} {{ 500|filesizeformat }} {{ 1500|filesizeformat }} {{ 1500000|filesizeformat }} {{ 1500000|filesizeformat(true) }} {{ 1024|filesizeformat(binary=true) }} {{ 1e30|filesizeformat }}
{{ l|first }} {{ l|last }} {{ s|first }} {{ s|last }} {{ []|first }}| {{ []|last }}| {{ d|first }} {{ d|last }} {{ (l|map('string'))|first }} {{ range(3)|last }} {{ ''|first }}|
{{ l|map('string')|last }}
{{ '3.5'|float }} {{ 'x'|float }} {{ 'x'|float(1.5) }} {{ 5|float }} {{ none|float }} {{ '1e3'|float }} {{ ' 2.5 '|float }} {{ 'inf'|float }} {{ 'nan'|float }} {{ '1_000.5'|float }} {{ '-.5'|float }} {{ [] |float }} {{ 'Infinity'|float }} {{ '1__0'|float }} {{ '0x10'|float }}
{{ '%s-%s'|format('a', 'b') }} {{ '%(a)s'|format(a=1) }} {{ 'x'|format }} {{ '%d%%'|format(5) }}
{{ '%s'|format('a', b=1) }}
{{ 'a\nb\n\nc'|indent }} | {{ 'a\nb'|indent(2) }} | {{ 'a\nb'|indent(2, true) }} | {{ 'a\n\nb'|indent(2, blank=true) }} | {{ 'a\nb'|indent('> ') }} | {{ 'a\nb'|indent(width=1, first=true) }} | {{ ''|indent }} | {{ 'a\n'|indent }}|
{{ 5|indent }}
{{ '42'|int }} {{ '42.9'|int }} {{ 'x'|int }} {{ 'x'|int(7) }} {{ 3.99|int }} {{ -3.99|int }} {{ '0x1F'|int(0, 16) }} {{ '1F'|int(base=16) }} {{ '101'|int(0, 2) }} {{ none|int }} {{ true|int }} {{ ' 7 '|int }} {{ '1_000'|int }} {{ '-5'|int }} {{ '+5'|int }} {{ '1e3'|int }} {{ ''|int }} {{ '١٢'|int }} {{ [] |int }} {{ '0b11'|int(0, 0) }} {{ 'nan'|int }} {{ '--5'|int }} {{ '5-'|int }} {{ '0x'|int(1, 16) }}
{{ words|join }} {{ words|join(', ') }} {{ l|join('-') }} {{ users|join('|', attribute='name') }} {{ 'abc'|join('.') }} {{ mixed|join(',') }} {{ d|join }} {{ [[1, 2], none]|join(';') }} {{ l|join(5) }} {{ users|map(attribute='name')|join(d=', ') }}
{{ 5|join }}
{{ 'ABC'|lower }} {{ 'İΣ'|lower }} {{ 5|lower }} {{ none|upper }} {{ true|lower }} {{ 'straße'|upper }}
{{ d|items|list }} {{ {}|items|list }} {% for k, v in d|items %}{{ k }}{{ v }}{% endfor %}
{{ l|items|list }}
{{ words|map('upper')|list }} {{ users|map(attribute='name')|list }} {{ users|map(attribute='age', default=0)|list }} {{ words|map('replace', 'a', 'A')|list }} {{ ['1', '2']|map('int')|sum }} {{ l|map('string')|map('length')|list }} {{ pairs|map(attribute=1)|list }} {{ pairs|map(attribute='0')|list }} {{ [deep]|map(attribute='x.y.0')|list }} {{ pairs|map('last')|list }} {{ words|map('truncate', 3, true, '')|list }} {{ users|map(attribute='nope')|list }}
{{ l|map|list }}
{{ l|map('nofilter')|list }}
{{ l|map(attribute='x', foo=1)|list }}
{{ l|min }} {{ l|max }} {{ words|min }} {{ words|max }} {{ words|min(case_sensitive=true) }} {{ []|min }}| {{ users|selectattr('age')|min(attribute='age') }} {{ users|selectattr('age')|max(attribute='age') }} {{ 'hello'|max }} {{ d|min }}
{{ [1, 'a']|min }}
{{ [1, 2, 3, 4]|reject('odd')|list }} {{ l|select('>', 1)|list }} {{ l|select('greaterthan', 2)|list }} {{ mixed|select('string')|list }} {{ mixed|select|list }} {{ mixed|reject('none')|list }} {{ users|selectattr('age', 'equalto', 30)|map(attribute='name')|list }} {{ users|rejectattr('city')|map(attribute='name')|list }} {{ users|selectattr('name', 'in', ['Ann', 'bob'])|list|length }} {{ words|select('in', ['apple'])|list }} {{ words|reject('equalto', 'apple')|list }} {{ users|selectattr('city', 'undefined')|list }} {{ l|select('divisibleby', 3)|list }} {{ l|select('==', 2)|first }} {{ words|select('lower')|list }}
{{ l|select('notest')|list }}
{{ users|selectattr|list }}
{{ 'aXbX'|replace('X', '-') }} {{ 'aXbX'|replace('X', '-', 1) }} {{ 5|replace('5', 'five') }} {{ 'abc'|replace('', '-') }} {{ '1.5'|replace('.', ',') }} {{ s|replace(old='l', new='1') }} {{ 'a1'|replace(1, 2) }}
{{ 'abc'|reverse }} {{ l|reverse|list }} {{ zh|reverse }} {{ d|reverse|list }} {{ (1, 2)|reverse|list }} {{ range(3)|reverse|list }} {{ l|map('string')|reverse }}
{{ 5|reverse }}
{{ 42.55|round }} {{ 42.55|round(1) }} {{ 42.55|round(1, 'floor') }} {{ 42.51|round(1, 'ceil') }} {{ 2.5|round }} {{ 3.5|round }} {{ -2.5|round }} {{ 2.675|round(2) }} {{ 42|round }} {{ 1234|round(-2) }} {{ 1250|round(-2) }} {{ 1350|round(-2) }} {{ 0.5|round|int }} {{ 1234.5|round(-2) }} {{ 42|round(1, 'floor') }} {{ 7|round(0, 'ceil') }} {{ true|round }} {{ 1e300|round(2) }}
{{ 'a'|round }}
{{ 1.5|round(1, 'x') }}
{{ l|sort }} {{ words|sort }} {{ words|sort(case_sensitive=true) }} {{ words|sort(true) }} {{ l|sort(reverse=true) }} {{ d|sort }} {{ 'bca'|sort }} {{ users|selectattr('age')|sort(attribute='age')|map(attribute='name')|list }} {{ [[2, 'a'], [1, 'b']]|sort }} {{ pairs|sort(attribute=0, reverse=true) }} {{ [1.5, 1, true]|sort }} {{ [3, 1, 2]|sort|first }}
{{ [1, 'a']|sort }}
{{ [none, 1]|sort }}
{{ users|sort(attribute='age') }}
{{ 5|string }} {{ none|string }} {{ [1]|string }} {{ 1.0|string|length }} {{ true|string }}
{{ l|sum }} {{ [1.5, 2]|sum }} {{ []|sum }} {{ l|sum(start=10) }} {{ users|selectattr('age')|sum(attribute='age') }} {{ pairs|sum(attribute=1) }} {{ [[1], [2]]|sum(start=[]) }}
{{ words|sum }}
{{ 'hello world-foo (bar) [x] {y} <z>'|title }} {{ "they're"|title }} {{ 'ÉCOLE été'|title }} {{ 'a\tb'|title }} {{ 5|title }}
{{ padded|trim }}| {{ 'xxaxx'|trim('x') }} {{ 5|trim }} {{ none|trim }} {{ ' a '|trim|length }} {{ 'ab'|trim(chars='a') }}
{{ 'foo bar baz qux'|truncate(9) }} {{ 'foo bar baz qux'|truncate(9, true) }} {{ 'foo bar baz qux'|truncate(11) }} {{ 'foo bar baz qux'|truncate(11, false, '...', 0) }} {{ 'short'|truncate }} {{ '你好世界你好世界你好'|truncate(5, true, '…', 0) }} {{ 'nospaceshere'|truncate(5, leeway=0) }}
{{ 'x'|truncate(1) }}
{{ words|unique|list }} {{ words|unique(true)|list }} {{ [1, 1.0, true, 2]|unique|list }} {{ users|selectattr('city')|unique(attribute='city')|map(attribute='name')|list }} {{ 'banana'|unique|join }}
{{ [[1]]|unique|list }}
{{ 'a b/c?d=é&'|urlencode }} {{ {'a b': 'c/d', 'e': 1}|urlencode }} {{ [('x', 'y z')]|urlencode }} {{ 5|urlencode }} {{ '~_.-'|urlencode }}
{{ s|wordcount }} {{ "it's a-b c_d"|wordcount }} {{ zh|wordcount }} {{ ''|wordcount }}
{{ d|attr('a') }}| {{ s|attr('upper') is callable }} {{ ns|attr('x') }}|
{{ s|upper|lower|title|replace(' ', '_') }} {{ s|length * 2 }} {{ 'a' if s|length > 5 else 'b' }} {{ s|length > 5 and true }} {{ -s|length }} {{ 'x' ~ s|length }}
{{ s|nofilter }}
{% if false %}{{ s|nofilter }}{% endif %}ok
{{ 'x' is notest }}
{% if false %}{{ s is notest }}{% endif %}ok
{% for x in [] %}{{ s|nofilter }}{% endfor %}ok
{% macro m() %}{{ s|nofilter }}{% endmacro %}ok
{{ (s|nofilter) if false else 'ok' }}
{{ s|upper(1) }}
{{ s|join(1, 2, 3) }}
{{ s|replace('a') }}
{{ s|default('a', 'b', 'c') }}
{{ s|trim(x=1) }}
""")

# tojson.
for value in ["s", "zh", "emoji", "html", "odd_text", "jsonish", "mixed", "d", "deep", "users", "n", "f", "tiny", "huge", "whole", "t", "nothing", "big", "lines",
              "''", "[]", "{}", "(1, 2)", "[[], {}, [[]]]", "{1: 2, none: 3, true: 4, 1.5: 5}", "-0.0", "1e16", "1e-7", "'\\u2028<>&\\''", "both"]:
    add("{{ (%s)|tojson }}" % value)
    add("{{ (%s)|tojson(indent=2) }}" % value)
all_of(r"""
{{ jsonish|tojson(ensure_ascii=true) }} {{ emoji|tojson(true) }} {{ zh|tojson(ensure_ascii=False) }} {{ odd_text|tojson(ensure_ascii=true) }}
{{ d|tojson(sort_keys=true) }} {{ jsonish|tojson(separators=(',', ':')) }} {{ jsonish|tojson(indent=1, separators=(', ', ' : ')) }} {{ d|tojson(indent='--') }} {{ d|tojson(indent=0) }} {{ d|tojson(indent=none) }} {{ [1, {'a': []}]|tojson(indent=4) }} {{ {'b': {'z': 1, 'y': 2}, 'a': 0}|tojson(sort_keys=true, indent=2) }}
{{ d.items()|tojson }}
{{ d.items()|list|tojson }} {{ range(3)|list|tojson }}
{{ range(3)|tojson }}
{{ (l|map('string'))|tojson }}
{{ nope|tojson }}
{{ [nope]|tojson }}
{{ {(1, 2): 3}|tojson }}
{{ {1: 1, 'a': 2}|tojson(sort_keys=true) }}
{{ namespace(a=1)|tojson }}
{{ joiner|tojson }}
{{ 'a'|tojson|tojson }} {{ ('<'|e)|tojson }} {{ 1e400|tojson }} {{ (1e308 * 10)|tojson }} {{ ('nan'|float)|tojson }}
""")

# Tests.
for value in ["1", "1.5", "'s'", "'S'", "''", "none", "true", "false", "[]", "[1]", "(1,)", "{}", "nope", "range(2)", "d.items()", "l|map('string')", "namespace()", "0", "s.upper"]:
    add("{%% set v = %s %%}" % value + "".join("{{ v is %s }} " % t for t in
        ["defined", "undefined", "none", "boolean", "true", "false", "integer", "float", "number", "string", "mapping", "sequence", "iterable", "callable", "escaped"]))
all_of(r"""
{{ 1 is odd }} {{ 2 is even }} {{ 9 is divisibleby 3 }} {{ 9 is divisibleby(2) }} {{ 1.0 is odd }} {{ true is odd }}
{{ 'a' is odd }}
{{ none is even }}
{{ 'abc' is lower }} {{ 'ABC' is upper }} {{ 'Abc' is lower }} {{ 5 is lower }} {{ '' is upper }}
{{ 1 is sameas 1 }} {{ none is sameas none }} {{ true is sameas true }} {{ 1 is sameas true }} {{ l is sameas l }} {{ [] is sameas [] }} {{ false is sameas(false) }}
{{ 1 is in [1, 2] }} {{ 'a' is in 'abc' }} {{ 3 is not in [1] }} {{ 'b' is in d }} {{ 1 is not none }} {{ 1 is not string }}
{{ 1 is eq 1 }} {{ 1 is equalto 2 }} {{ 1 is ne 2 }} {{ 1 is lt 2 }} {{ 2 is gt 1 }} {{ 2 is ge 2 }} {{ 2 is le 1 }} {{ 'a' is lessthan 'b' }} {{ 3 is greaterthan 2 }} {{ 1 is ==(1) }}
{{ 1 is eq(1) }} {{ [1] is eq [1] }} {{ 'x' is eq 'x' and true }} {{ 1 is defined and 2 is defined }} {{ not 1 is none }} {{ 1 is number and 'a' is string }} {{ 'x' is string or nope.y }}
{{ 'upper' is filter }} {{ 'nofilter' is filter }} {{ 'odd' is test }} {{ 'notest' is test }} {{ 'tojson' is filter }}
{{ 1 is defined is defined }}
{{ d.a is defined and d.a == 2 }} {{ s is string and s|length }} {{ s is defined|string }}
{{ n is divisibleby }}
{{ n is odd(1) }}
{{ users[0].age is number }} {{ users[3].age is number }} {{ users[3]['age'] is none }} {{ x.y is defined if x is defined else 'nox' }}
""")

# Odds and ends.
all_of(r"""
{{ strftime_now('%Y-%m-%d') }} {{ strftime_now('%d %B %Y, %H:%M:%S %j %a %A %b %I %p %y %%') }} {{ strftime_now('') }}| {{ strftime_now('%f') }} {{ strftime_now('你%Y') }} {{ strftime_now('%-d %e') }}
{{ strftime_now() }}
{{ strftime_now(5) }}
{{ messages|length }}{{ tools is none }}{{ add_generation_prompt }}{{ bos_token }}{{ eos_token }}
{{ (1, 2)[0] }} {{ [1, 2][-1] }} {{ {'a': [1]}['a'][0] }} {{ 'abc'[1] }} {{ 'abc'.upper()[0] }} {{ ('a', 'b')|join }} {{ [1, 2]|first + 1 }}
{{ [x for x in l] }}
{{ lambda x: x }}
{{ l.__len__() }}
{{ s.format_map({'a': 1}) }} {{ '{a}'.format_map({'a': 1}) }}
{{ '{0.__class__}'.format('a') }}|
{{ {'a': 1}|tojson|length }} {{ '你'|tojson|length }}
{{ 'a' ~ ('b' if true) ~ 'c' }} {{ 'a' ~ ('b' if false) ~ 'c' }}
{{ "a" "b"|upper }} {{ ("a" "b")|upper }} {{ 1 + 2|string|int }} {{ (1 + 2)|string }} {{ 2 ** 3|string|int }} {{ not true|string }} {{ 1 == 1|string|int }}
{% set _ = [1] %}{{ _ }} {% set if_ = 1 %}{{ if_ }} {% set é = 5 %}{{ é }}
{{ d.items()|map('first')|list }} {{ d.items()|map('last')|sum }} {{ d.values()|sum }} {{ d.keys()|sort|join }} {{ d.items()|sort|first }} {{ d.values()|max }}
{{ 'line1\nline2'.split('\n')[1] }} {{ '<think>a</think>b'.split('</think>')[-1] }} {{ 'a</think>b'.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') }}
{{ users[0].keys()|list }} {{ users[0].values()|list }} {{ users|map('list')|list|length }} {{ users[0]|tojson }} {{ users|length - 1 }}
{{ loop_messages|default(messages, true)|length }} {% set loop_messages = l[1:] %}{{ loop_messages }}
{% for x in [1,2,3] %}{% if loop.first %}F{% elif loop.last %}L{% else %}M{% endif %}{% endfor %}
{{ 1 if d.zz else 2 }} {{ (d.zz or {}).x }}| {{ d.zz|default({}) }} {{ (nothing or 'n') }} {{ nothing is none }} {{ nothing is defined }}
{{ "\u4f60" }} {{ '\u00e9' == 'é' }} {{ 'é'|length }} {{ 'e\u0301'|length }}
{{ "%.2f" % 1.005 }} {{ "%.0f" % 0.5 }} {{ "%.0f" % 1.5 }} {{ "%g" % 123456789.0 }} {{ 0.1 + 0.7 }} {{ 1.1 * 3 }} {{ 100 * 1.1 }} {{ 3.0 * 1 }} {{ 1e2 }} {{ 12345678901234567890.0 }}
{{ [1, [2, [3, [4]]]] }} {{ [[[[]]]]|tojson }} {{ {'a': {'b': {'c': {}}}} }}
{{ [none, true, 1.0, 'x'] ~ '' }} {{ {'a': none} ~ '' }} {{ (none,) ~ '' }}
{{ 'abc' is string and 'b' in 'abc' }} {{ ('a' in d) == true }} {{ 'a' in d and 'b' in d }} {{ 'z' not in d }}
{% block x %}b{% endblock %}
{% autoescape true %}<{% endautoescape %}
{{ caller() }}
{{ self.x() }}
{{ super() }}
{{ cycler() }}
{{ l|random }}
{{ namespace(1) }}
{{ dict(1) }}
{{ dict([1]) }}
{{ joiner().x }}|
{{ 5() }}
{{ 'a'() }}
{{ 9999999999999999999999 }}
{{ 9223372036854775807 + 1 }}
{{ 2 ** 64 }}
""")

# What Jinja2 can do and this engine refuses: big integers, blocks, chance, addresses in memory.
REFUSED = [r"\{% block", r"autoescape", r"9{20}", r"775807 \+ 1", r"2 \*\* 64", r"\|random", r"\.encode\(", r"__len__"]


def render(source):
    try:
        out, _ = hf.render_jinja_template(conversations=[[{"role": "user", "content": "hi"}]], chat_template=source, add_generation_prompt=True,
                                          bos_token="<s>", eos_token="</s>", **VARIABLES)
        return out[0]
    except Exception:
        return None


def main():
    class Frozen(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 2, 3, 14, 5, 6, 0)

    hf.datetime = Frozen
    out = []
    snippets = []
    for source in dict.fromkeys(S):
        parts = re.findall(r"\{\{.*?\}\}(?=[ |]|$)", source)
        alone = len(parts) > 1 and "{%" not in source and "\n" not in source and render(source) is None
        snippets += parts if alone else [source]  # one that raises must not hide the others
    for source in dict.fromkeys(snippets):
        if any(re.search(r, source) for r in REFUSED):
            out.append([source, None, "refused"])
            continue
        text = render(source)
        if text is not None and re.search(r" at 0x[0-9a-f]{6,}", text):
            print("address in", source)
            continue
        out.append([source, text])
    OUT.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(x, ensure_ascii=False) for x in out)
    variables = json.dumps(VARIABLES, ensure_ascii=False)
    OUT.write_text('{"now": "2026-02-03 14:05:06",\n"variables": %s,\n"snippets": [\n%s\n]}\n' % (variables, lines))
    print(len(out), "snippets,", sum(x[1] is None for x in out), "raise or are refused,", OUT.stat().st_size, "bytes")


main()
