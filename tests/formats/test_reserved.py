"""STOP, START and HELP in every language there is, and the answers to them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgserver.formats.reserved import PACKS, Choice, answer, listen, reserved
from msgserver.formats.sms import measure


@pytest.mark.parametrize(
    "text",
    [
        *(
            "STOP",
            " stop. ",
            "Stop please",
            "STOP all now",
            "unsubscribe",
            "ARRÊT",
            "arret",
            "Opt-Out",
            "optout",
            "“stop”",
        ),
        *(
            "STOPALL",
            "CANCEL",
            "END",
            "QUIT",
            "REMOVE",
            "TD",
            "REVOKE",
            "stop!!!",
            "Arrêt svp",
            "BAJA",
            "توقف",
            "ايقاف.",
        ),
        *("إلغاء الاشتراك", "Стоп", "لغو", "STOPP"),
    ],
)
def test_these_opt_out(text: str):
    assert listen(text).choice is Choice.STOP


@pytest.mark.parametrize(
    "text",
    [
        *("please stop", "the end", "", "stopping", "cancel my order", "end of the road", "x" * 100, "…"),
        *("baja el agua", "start now", "help me", "help we are drowning", "information", "YES"),
    ],
)
def test_these_ask_for_nothing(text: str):
    assert listen(text) == listen("")


@pytest.mark.parametrize(
    "text", ["stop the water coming in", "STOP " * 9, "Arrêt de bus sous l'eau", "стоп машина у моста"]
)
def test_longer_ones_that_begin_so_go_to_a_person_with_a_flag(text: str):
    heard = listen(text)
    assert (heard.choice, heard.flagged) == (Choice.NONE, True)


@pytest.mark.parametrize("text", ["START", "unstop!", "alta", "ابدأ"])
def test_these_opt_in(text: str):
    assert listen(text).choice is Choice.START


@pytest.mark.parametrize(
    ("text", "language"),
    [("HELP", "en"), ("info.", "en"), ("?", "en"), ("Aide", "fr"), ("AYUDA", "es"), ("مساعدة", "ar")],
)
def test_these_ask_for_help_and_in_which_language(text: str, language: str):
    assert (listen(text).choice, listen(text).language) == (Choice.HELP, language)


@given(st.text())
def test_listening_is_total(text: str):
    listen(text)
    reserved(text)


@pytest.mark.parametrize("language", PACKS)
@pytest.mark.parametrize("choice", [Choice.STOP, Choice.START, Choice.HELP])
def test_an_answer_fits_whatever_the_names_are(language: str, choice: Choice):
    for hub, contact in (("Relief desk", "+93 70 123 4567"), ("R" * 300, "c" * 300), ("R", "")):
        said = answer(choice, language, hub, contact)
        assert len(said) <= 160
        assert hub[:20] in said
        assert ("START" if choice is Choice.STOP else "STOP") in said
        assert (contact[:20] in said) is (choice is Choice.HELP or not contact)
        assert "{" not in said


def test_the_answers_of_the_first_languages_are_one_sms():
    for language in ("en", "fr"):
        for choice in (Choice.STOP, Choice.START, Choice.HELP):
            said = answer(
                choice, language, "Relief desk", "+93 70 123 4567 or desk@example.org, at any hour of the day"
            )
            assert measure(said).parts == 1, said


def test_a_language_may_be_named_with_its_country_and_an_unknown_one_is_english():
    assert answer(Choice.STOP, "fr-CA", "X") == answer(Choice.STOP, "fr", "X")
    assert answer(Choice.STOP, "xx", "X") == answer(Choice.STOP, "en", "X") == answer(Choice.STOP, "", "X")
    assert answer(Choice.HELP, "en", "Relief desk", "call +93 70 123 4567") == (
        "Relief desk. Contact: call +93 70 123 4567. Messages come when there is news. Reply STOP to end them."
    )


def test_every_language_has_words_that_are_its_own_and_mean_one_thing():
    for language, pack in PACKS.items():
        for choice, words in ((Choice.STOP, pack.stop), (Choice.START, pack.start), (Choice.HELP, pack.help)):
            for word in words:
                assert listen(word).choice is choice, (language, word)
        assert set(pack.leading) <= set(pack.stop)
