"""Tables of people: read as spreadsheets write them, written so that no spreadsheet runs them."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgserver.formats import people_csv
from msgserver.formats.people_csv import Problem, Row, Sheet, group_words, guarded, line_of, unguarded


def read(words: str | bytes, region: str = "", groups: bool = False) -> tuple[list[Row | None], list[Problem]]:
    problems: list[Problem] = []
    raw = words if isinstance(words, bytes) else words.encode()
    return list(Sheet(raw, region).rows(groups, problems)), problems


def one(words: str, region: str = "") -> Row:
    rows, problems = read(words, region)
    assert problems == []
    [row] = rows
    assert row is not None
    return row


def test_a_whole_row() -> None:
    row = one(
        "Name;Phone;E-Mail;Chat;Other;verified;preferred;opted out;language;Time zone;quiet hours;groups;Company;"
        "Position;notes\n"
        "Ana Noori;+93 70 123 4567, 070 765 4321;Ana@Example.org;ana@chat.example;x;ana@example.org;+93701234567;"
        '070 765 4321;fa;Asia/Kabul;22:00-6:30;"Water|driver; North team";Aid Org;nurse;"two\nlines"\n',
        "AF",
    )
    assert (row.line, row.kind, row.name, row.folded) == (2, "person", "Ana Noori", "ana noori")
    assert row.addresses == ("sms:+93701234567", "sms:+93707654321", "mailto:ana@example.org", "xmpp:ana@chat.example")
    assert (row.verified, row.preferred, row.stopped) == (
        ("mailto:ana@example.org",), ("sms:+93701234567",), ("sms:+93707654321",),
    )  # fmt: skip
    assert (row.language, row.timezone, row.quiet) == ("fa", "Asia/Kabul", (1320, 390))
    assert row.groups == (("Water", "driver"), ("North team", ""))
    assert row.organisation == ("Aid Org", "nurse")
    assert row.comments == "two\nlines"


def test_as_address_books_name_their_columns() -> None:
    row = one(
        "First Name,Last Name,Phone 1 - Value,Phone 2 - Value,E-mail 1 - Value\n"
        "Ana,Noori,+93701234567 ::: +93702222222,+93703333333,ana@example.org\n"
    )
    assert row.name == "Ana Noori"
    assert len(row.addresses) == 4


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_letters_and_delimiters(encoding: str, delimiter: str) -> None:
    rows, problems = read(f"name{delimiter}phone\r\nJosé Müller{delimiter}+34600111222\r\n".encode(encoding))
    assert problems == []
    assert rows[0] is not None
    assert (rows[0].name, rows[0].addresses) == ("José Müller", ("sms:+34600111222",))


@pytest.mark.parametrize(
    ("row", "line", "column", "words", "left_out"),
    [
        (",+93701234567,", 2, "name", "has no name", True),
        ("Ana,12345678,", 2, "phone", "names no country", False),
        ("Ana,9.37E+10,", 2, "phone", "lost digits", False),
        ("Ana,n/a,", 2, "phone", "not a phone number", False),
        ("Ana,+9370,", 2, "phone", "too short", False),
        ("Ana,12,", 2, "phone", "'12' is too short for a phone number (a service's is written sms:12)", False),
        ("Ana,sms 12,", 2, "phone", "not a phone number", False),
        ("Ana,,night", 2, "quiet hours", "no time of day", False),
        ("Ana,,,more", 2, "", "more cells", True),
        ('Ana,"+93701234567', 2, "", "lone quotation mark", True),
    ],
)
def test_each_problem_with_its_line(row: str, line: int, column: str, words: str, left_out: bool) -> None:
    rows, [problem] = read(f"name,phone,quiet hours\n{row}\n")
    assert (problem.line, problem.column, problem.left_out) == (line, column, left_out)
    assert words in problem.words
    assert (rows == [None]) is left_out


def test_numbers_of_services_are_written_as_such() -> None:
    assert one("name,addresses\nHotline,sms:1212\n", "AF").addresses == ("sms:1212",)


def test_a_mail_address_has_one_at_sign() -> None:
    rows, [problem] = read("name,mail\nAna,bad@@example.org\n")
    assert (problem.column, rows[0] and rows[0].addresses) == ("mail", ())
    assert "'bad@@example.org' is not a mail address" in problem.words
    assert one('name,mail\nAna,"""a@b""@example.org"\n').addresses == ('mailto:"a@b"@example.org',)


def test_lines_are_those_of_the_file() -> None:
    _rows, problems = read('name,comments\nAna,"a\nb\nc"\n\nBo,x\n,y\n')
    assert [problem.line for problem in problems] == [7]


def test_digits_that_lost_their_plus() -> None:
    assert one("name,phone\nAna,93701234567\n", "AF").addresses == ("sms:+93701234567",)
    assert one("name,phone\nAna,0701234567\n", "AF").addresses == ("sms:+93701234567",)


def test_kinds() -> None:
    table = "kind,name\ngroup,Water\nOrganization,Aid\nperson,Ana\n,Bo\nalien,Zed\n"
    assert [row.name for row in read(table, groups=True)[0] if row] == ["Water", "Aid"]
    rows, [problem] = read(table)
    assert [row and row.name for row in rows] == ["Ana", "Bo", None]
    assert (problem.line, problem.column) == (6, "kind")


@pytest.mark.parametrize("words", ["", "\n", "a,b,c\n1,2,3\n", "\x00\x01\x02", "<html>"])
def test_no_table(words: str) -> None:
    with pytest.raises(ValueError, match=r"the first line must name the columns|no table"):
        Sheet(words.encode())


def test_the_same_file_gives_the_same_uids_and_columns_not_known_are_named() -> None:
    table = b"name,shoe size\nAna,38\nBo,44\n"
    first = [row.uid for row in Sheet(table).rows(False, []) if row]
    assert first == [row.uid for row in Sheet(table).rows(False, []) if row]
    assert len(set(first)) == 2
    assert Sheet(table).ignored == ("shoe size",)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b"])
def test_no_cell_begins_a_formula(start: str) -> None:
    """THREATS T26, also where a spreadsheet splits cells at ``;`` because of where it is at home."""
    evil = f"{start}HYPERLINK(1)"
    for cell in (evil, f" {evil}" if start not in "\t\r\n" else evil, f"x;{evil}", f"x\n{evil}", f"'{evil}"):
        written = line_of(["a", cell])
        assert unguarded(guarded(cell)) == cell
        for delimiter in ",;\t":
            for row in csv.reader(io.StringIO(written, newline=""), delimiter=delimiter):
                assert not any(field.lstrip(" ").startswith(start) for field in row if start not in "\t\r\n"), written
        [[_, back]] = csv.reader(io.StringIO(written, newline=""))
        assert back[0] not in "=+-@\t\r\n\uff1d\uff0b"


@given(st.text(alphabet="=+-@'; \t\r\nab\uff1d\"|\\", max_size=12))
def test_what_is_guarded_comes_back(cell: str) -> None:
    assert unguarded(guarded(cell)) == cell
    assert next(csv.reader(io.StringIO(line_of([cell]), newline=""))) == [guarded(cell)]


@given(st.text(alphabet="a;|\\ =", max_size=8), st.text(alphabet="b;|\\ +", max_size=8))
def test_groups_come_back(name: str, role: str) -> None:
    name, role = " ".join(name.split()), " ".join(role.split())
    if name:
        cell = unguarded(guarded(group_words(name, role)))
        assert list(people_csv._groups([cell])) == [(name, role)]
