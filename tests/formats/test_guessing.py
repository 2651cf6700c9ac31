"""Old charsets told by letters and language, where the label says nothing or lies."""

from __future__ import annotations

import time

import pytest

from msgserver.formats.guessing import likeliest
from msgserver.formats.mime import read_mail
from msgserver.formats.text import decode

SAID = {
    "French": ("cp1252", "Bonjour, la rivière est très haute aujourd'hui et l'école a été fermée. Où êtes-vous ?"),
    "German": ("cp1252", "Guten Tag, die Brücke ist gesperrt, über fünfzig Menschen warten. Schöne Grüße"),
    "Spanish": ("cp1252", "Buenos días, el río está muy alto y la escuela está cerrada, cincuenta niños mañana."),
    "Portuguese": ("cp1252", "Bom dia, o rio está muito alto e a escola não abre, cinquenta crianças amanhã."),
    "Danish": ("cp1252", "Goddag, åen står meget højt, og skolen er lukket. Vi mangler vand til børnene."),
    "Polish": ("cp1250", "Dzień dobry, rzeka jest bardzo wysoka i szkoła została zamknięta. Potrzebujemy żywności."),
    "Czech": ("cp1250", "Dobrý den, řeka je velmi vysoká a škola byla uzavřena. Potřebujeme pitnou vodu a jídlo."),
    "Hungarian": (
        "cp1250",
        "Jó napot, a folyó nagyon magas, és az iskolát bezárták. Ivóvízre és élelemre van szükségünk, őrült szél.",
    ),
    "Romanian": ("iso8859-2", "Bună ziua, râul este foarte înalt şi şcoala a fost închisă. Avem nevoie de apă."),
    "Turkish": ("cp1254", "Günaydın, nehir çok yüksek ve okul kapatıldı. Elli kişi için içme suyuna ihtiyacımız var."),
    "Lithuanian": ("cp1257", "Laba diena, upė labai aukšta ir mokykla uždaryta. Mums reikia vandens ir maisto žmonių."),
    "Russian": ("cp1251", "Добрый день, вода поднялась высоко, школа закрыта. Нужна питьевая вода для детей."),
    "Russian, KOI8": ("koi8-r", "Добрый день, вода поднялась высоко, школа закрыта. Нужна питьевая вода для детей."),
    "Greek": ("cp1253", "Καλημέρα, το ποτάμι είναι πολύ ψηλά και το σχολείο έκλεισε. Χρειαζόμαστε νερό."),
    "Arabic": ("cp1256", "صباح الخير، النهر مرتفع جدا والمدرسة مغلقة. نحتاج إلى ماء للشرب والطعام."),
    "Hebrew": ("cp1255", "בוקר טוב, הנהר גבוה מאוד ובית הספר סגור. אנחנו צריכים מים ואוכל."),
    "Japanese": ("cp932", "おはようございます。川の水がとても高くて学校は閉まっています。飲み水が必要です。"),
    "Chinese": ("gb18030", "早上好,河水很高,学校关了。我们需要五十个人的饮用水和食物,请来人帮忙。"),
    "Korean": ("cp949", "안녕하세요, 강물이 매우 높고 학교가 문을 닫았습니다. 마실 물이 필요합니다."),
}  # fmt: skip


@pytest.mark.parametrize("language", SAID)
def test_a_text_without_a_label_is_read(language):
    codec, text = SAID[language]
    reading = read_mail(b"Subject: x\r\nContent-Type: text/plain\r\n\r\n" + text.encode(codec))
    assert reading.text == text
    assert any("charset guessed" in trouble for trouble in reading.trouble)


@pytest.mark.parametrize("language", ["Russian", "Greek", "Arabic", "Hebrew", "Japanese", "Chinese", "Korean"])
@pytest.mark.parametrize("label", ["iso-8859-1", "windows-1252", "us-ascii", "utf-8", "x-nope"])
def test_a_label_that_lies_is_not_believed(language, label):
    codec, text = SAID[language]
    assert decode(text.encode(codec), label)[0] == text


@pytest.mark.parametrize("language", ["French", "German", "Spanish", "Portuguese", "Danish"])
def test_a_label_that_is_right_is_believed(language):
    codec, text = SAID[language]
    assert decode(text.encode(codec), "iso-8859-1", thorough=True) == (text, "")


def test_a_few_accents_are_no_other_script():
    assert decode(b"\xc9t\xe9 \xe0 No\xebl", "iso-8859-1") == ("Été à Noël", "")
    assert decode(b"\xe9\xe8\xe0", "iso-8859-1")[0] == "éèà"


def test_guessing_is_bounded():
    begin = time.process_time()
    for _ in range(20):
        likeliest(bytes(range(128, 256)) * 100_000, thorough=True)
        likeliest(b"a\xe9 b\xea " * 1_000_000, thorough=True)
    assert time.process_time() - begin < 5
