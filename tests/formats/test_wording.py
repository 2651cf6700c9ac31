"""Templates: what they can do, and that none of them runs long, grows large or gets out of its box."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msgserver.formats.wording import LONGEST_RESULT, BadWording, Wording, check, fill, names


def filled(text: str = "", **values) -> str:
    wording = Wording(text=text)
    check(wording)
    return fill(wording, values).text


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("Dear {{ name }},", {"name": "Ana"}, "Dear Ana,"),
        ("{{ place.name }} {{ place['code'] }}", {"place": {"name": "Camp 3", "code": 7}}, "Camp 3 7"),
        ("{% if urgent %}!{% else %}.{% endif %}", {"urgent": True}, "!"),
        ("{% for s in sites %}* {{ s.name }}\n{% endfor %}", {"sites": [{"name": "A"}, {"name": "B"}]}, "* A\n* B\n"),
        ("{% for s in sites %}{{ loop.index }}{% else %}none{% endfor %}", {"sites": []}, "none"),
        ("{% for s in sites %}{{ s }}{% endfor %}", {"sites": [1, 2]}, "12"),
        ("{{ sites|join('; ') }}", {"sites": ["a", "b"]}, "a; b"),
        ("{{ at|date }} {{ at|date('%H:%M') }}", {"at": 1_700_000_000}, "2023-11-14 22:13"),
        ("{{ nick|default('friend') }}", {}, "friend"),
        ("{{ n if n > 2 else 'few' }}", {"n": 2}, "few"),
        ("{{ name|upper }} {{ sites|length }}", {"name": "ana", "sites": [1, 2]}, "ANA 2"),
        ("no holes { here }", {}, "no holes { here }"),
    ],
)
def test_what_a_template_can_do(text, values, expected):
    assert filled(text, **values) == expected


def test_values_are_text_in_html_and_one_line_in_the_subject():
    wording = Wording("Re {{ w }}", "{{ w }}", "<p>{{ w }}</p>")
    got = fill(wording, {"w": "<b>&\r\nBcc: evil@x"})
    assert got.html == "<p>&lt;b&gt;&amp;\r\nBcc: evil@x</p>"
    assert got.text == "<b>&\r\nBcc: evil@x"
    assert got.subject == "Re <b>& Bcc: evil@x"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{{ name", "not understood"),
        ("{% for %}", "not understood"),
        ("{{ name|shout }}", "filter"),
        ("{{ range(10) }}", "call is not allowed"),
        ("{{ name.format(1) }}", "call is not allowed"),
        ("{% set x = 1 %}", "assign is not allowed"),
        ("{% macro a() %}{% endmacro %}", "macro is not allowed"),
        ("{% include 'x' %}", "include is not allowed"),
        ("{% import 'x' as y %}", "import is not allowed"),
        ("{% extends 'x' %}", "extends is not allowed"),
        ("{{ 'a' * 1000000000 }}", "mul is not allowed"),
        ("{{ 9 ** 9 ** 9 }}", "pow is not allowed"),
        ("{{ a ~ a }}", "concat is not allowed"),
        ("{{ a + a }}", "add is not allowed"),
        ("{{ '%1000000000s' % a }}", "mod is not allowed"),
        ("{{ [1, 2] }}", "list is not allowed"),
        ("{{ {'a': 1} }}", "dict is not allowed"),
        ("{{ a[1:2] }}", "slice is not allowed"),
        ("{% filter upper %}x{% endfilter %}", "not allowed"),
        ("{{ x|counted(0) }}", "no filter"),
        ("{% for x in y recursive %}{% endfor %}", "three deep"),
        ("{% for a in x %}" * 4 + "{% endfor %}" * 4, "three deep"),
        ("{% call a() %}{% endcall %}", "not allowed"),
        ("{% autoescape false %}{% endautoescape %}", "not allowed"),
        ("x" * 200_001, "longer than"),
        ("{{ x }}" * 20_000, "holes"),
        ("{{ " + " or ".join("x" * 6_000) + " }}", "too (much|deeply)"),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "nested too deeply"),
        ("{{ " + "not " * 5000 + "1 }}", "nested too deeply"),
    ],
)
def test_what_is_not_allowed_is_refused_in_words(text, words):
    with pytest.raises(BadWording, match=words):
        check(Wording(text=text))


@pytest.mark.parametrize(
    "text",
    [
        "{{ a.__class__ }}",
        "{{ a.__class__.__mro__ }}",
        "{{ a['__class__'] }}",
        "{{ d.items }}",
        "{{ d.keys }}",
        "{{ l.append }}",
        "{{ self }}",
        "{{ self._TemplateReference__context }}",
        "{{ loop }}",
        "{{ caller }}",
        "{{ lipsum }}",
        "{{ cycler }}",
        "{{ nothing }}",
        "{{ a|default(b) }}{{ missing.deeper }}",
    ],
)
def test_there_is_no_way_out_of_the_box(text):
    wording = Wording(text=text)
    try:
        check(wording)
        got = fill(wording, {"a": "x", "d": {}, "l": []}).text
    except BadWording:
        return
    assert "object" not in got
    assert "class" not in got


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("{% for a in x %}{% for b in x %}{% for c in x %}{% endfor %}{% endfor %}{% endfor %}", {"x": [0] * 10_000}),
        ("{% for a in x %}{% for b in x %}{{ e }}{% endfor %}{% endfor %}", {"x": [0] * 10_000, "e": ""}),
        ("{% for a in x %}" + "{% if a %}{% endif %}" * 400 + "{% endfor %}", {"x": [0] * 10_000}),
        ("{% for a in x %}{{ x|join }}{% endfor %}", {"x": ["a" * 10] * 2_000}),
        ("{{ x }}" * 900, {"x": "y" * 20_000}),
        ("{{ x|length }}{% for a in x %}{{ x|join('" + "-" * 1000 + "') }}{% endfor %}", {"x": [1] * 20_000}),
        ("{% for c in x %}{{ c }}{% endfor %}", {"x": "abc"}),
        ("{% for a in x %}{% if x|join('') == 'a' %}{% endif %}{% endfor %}", {"x": [""] * 20_000}),
        ("{% for a in x %}{% if y|upper == 'a' %}{% endif %}{% endfor %}", {"x": [0] * 5_000, "y": "a" * 50_000}),
    ],
)
def test_nothing_runs_long_or_grows_large(text, values):
    wording = Wording(text=text)
    check(wording)
    begun = time.process_time()
    with pytest.raises(BadWording):
        fill(wording, values)
    assert time.process_time() - begun < 5.0  # of processor time; without a bound these take hours


def test_values_have_bounds_too():
    with pytest.raises(BadWording, match="64000 is the most"):
        fill(Wording(text="{{ x }}"), {"x": "y" * 70_000})
    with pytest.raises(BadWording, match="plain data"):
        fill(Wording(text="{{ x }}"), {"x": object()})
    with pytest.raises(BadWording, match="letters, digits"):
        fill(Wording(text="{{ x }}"), {"budget of this rendering": 1})


def test_a_missing_value_is_named():
    with pytest.raises(BadWording, match="'name' is undefined"):
        fill(Wording(text="Dear {{ name }}"), {})


def test_which_values_it_asks_for():
    wording = Wording("{{ b }}", "{% for x in list %}{{ x }}{% endfor %}", "<p>{{ a.c }}</p>{{")
    assert names(wording) == ("b", "list")


@settings(deadline=None, max_examples=200)
@given(
    st.text(alphabet="{}%#-|.()[]'\"~+*/ abifornd_0", max_size=80),
    st.dictionaries(st.sampled_from("abio"), st.text(max_size=20)),
)
def test_any_text_is_filled_or_refused(text, values):
    wording = Wording(text=text)
    try:
        check(wording)
        got = fill(wording, values)
    except BadWording:
        return
    assert len(got.text) <= LONGEST_RESULT
