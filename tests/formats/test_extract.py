import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgserver.formats.extract import MOST, codes, extract, hashtags, phones, positions


def place(text: str) -> tuple[float, float] | None:
    found = positions(text)
    return (round(found[0].latitude, 4), round(found[0].longitude, 4)) if found else None


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("geo:12.345,-67.89;u=35", (12.345, -67.89)),  # RFC 5870
        ("GEO:48.2010,16.3695,183", (48.201, 16.3695)),
        ("geo:48.2,16.3;crs=wgs84", (48.2, 16.3)),
        ("stuck at 34.5553, 69.2075!", (34.5553, 69.2075)),
        ("34.5553 69.2075", (34.5553, 69.2075)),
        ("-33.8688,151.2093", (-33.8688, 151.2093)),
        ("34,5553; 69,2075", (34.5553, 69.2075)),
        ("٣٤٫٥٥٥٣، ٦٩٫٢٠٧٥", (34.5553, 69.2075)),
        ("३४.५५५३, ६९.२०७५", (34.5553, 69.2075)),
        ("lat 34.5 lon 69.2", (34.5, 69.2)),
        ("Latitude: 34.5, Longitude: -69.2", (34.5, -69.2)),
        ("12°20'44.1\"N 067°53'24\"W", (12.3456, -67.89)),
        ("12° 20′ 44″ S, 67° 53′ 24″ E", (-12.3456, 67.89)),
        ("S 12° 20' W 69° 1'", (-12.3333, -69.0167)),
        ("67°53'24\"W 12°20'44.1\"N", (12.3456, -67.89)),
        ("12.3456° -67.89°", (12.3456, -67.89)),
        ("12.5S, 45.25W", (-12.5, -45.25)),
        ("N12.345 E069.123", (12.345, 69.123)),
        ("see https://maps.google.com/?q=34.5553,69.2075 thanks", (34.5553, 69.2075)),
        ("https://maps.google.com/maps?q=loc:34.5553%2C69.2075", (34.5553, 69.2075)),
        ("https://www.google.com/maps/place/X/@34.55,69.20,15z/data=!3d34.5!4d69.1", (34.5, 69.1)),
        ("https://www.google.com/maps/@-34.55,69.20,15z", (-34.55, 69.2)),
        ("https://www.openstreetmap.org/?mlat=34.5&mlon=69.2#map=15/1.5/2.2", (34.5, 69.2)),
        ("https://www.openstreetmap.org/#map=15/34.5/69.2", (34.5, 69.2)),
        ("https://maps.apple.com/?ll=34.5,69.2&q=Camp", (34.5, 69.2)),
        ("https://bing.com/maps?cp=34.5~69.2", (34.5, 69.2)),
        ("https://waze.com/ul?ll=34.5,69.2", (34.5, 69.2)),
    ],
)
def test_positions_are_found_as_people_write_them(text: str, where: tuple[float, float]) -> None:
    assert place(text) == where


@pytest.mark.parametrize(
    "text",
    [
        "it costs 3.5, 4.2",
        "91.1234, 10.1234",  # no such latitude
        "10.1234, 181.1234",
        "version 1.234.5, 3.456",
        "call 0701.234567",
        "geo:1,2;crs=moon",
        "https://shop.example/?q=34.5553,69.2075",  # not a map
        "12°61'00\"N 067°53'24\"W",  # no such minute
        "48°51'24\"N, 2°21'03\"O",  # O may be east or west: better no place than the wrong one
        "21° today, 12 S",
        "",
    ],
)
def test_what_only_looks_like_a_position_is_none(text: str) -> None:
    assert place(text) is None


def test_positions_stand_in_the_order_of_the_text_and_once_each() -> None:
    found = positions("geo:1.5,2.5 then 34.5553, 69.2075 then geo:1.5,2.5")
    assert [(one.latitude, one.longitude) for one in found] == [(1.5, 2.5), (34.5553, 69.2075)]
    assert found[1].written == "34.5553, 69.2075"


def test_phone_numbers_are_told_in_full_and_positions_are_no_phone_numbers() -> None:
    assert phones("call +61 2 9374 4000 or +93-70-123-4567, not 112") == ("+61293744000", "+93701234567")
    assert phones("call (02) 9374 4000", "au") == ("+61293744000",)
    assert phones("call (02) 9374 4000") == ()
    assert extract("at 34.55530, 69.20751").phones == ()
    assert extract("+93701234567 is at 34.5553, 69.2075").phones == ("+93701234567",)


def test_hashtags_in_any_script_but_no_ticket_numbers_and_no_parts_of_addresses() -> None:
    assert hashtags("#Flood #42 (#food-aid) #FLOOD") == ("flood", "food-aid")
    assert hashtags("#洪水 #مياه #नमक") == ("洪水", "مياه", "नमक")
    assert hashtags("http://x.example/#part a#b &#123; ##") == ()


def test_codes_but_no_mail_addresses() -> None:
    assert codes("REPORT @Site12, @site12. and @x-7") == ("site12", "x-7")
    assert codes("ana@site12 ana@site.example @site.example @a@b") == ()


@pytest.mark.parametrize(
    "piece",
    ["1", "1.1111,", "#", "@a", "12°", "N 12 ", "+1 555 ", "(1-", "https://maps.google/?q=1,", "#a", "geo:1,2 "],
)
def test_no_text_takes_long(piece: str) -> None:
    since = time.process_time()
    found = extract(piece * (100_000 // len(piece)))
    assert time.process_time() - since < 2
    assert max(map(len, (found.positions, found.phones, found.hashtags, found.codes))) <= MOST


@given(st.text(alphabet=st.sampled_from("0123456789.,°'\"NSEW -+@#geo:lat/?&=~!㐀٤é"), max_size=80))
def test_whatever_the_text_positions_are_on_the_earth(text: str) -> None:
    for one in extract(text).positions:
        assert -90 <= one.latitude <= 90
        assert -180 <= one.longitude <= 180


@given(st.floats(-90, 90), st.floats(-180, 180))
def test_a_position_written_as_a_geo_uri_is_read_back(latitude: float, longitude: float) -> None:
    (found,) = positions(f"we are at geo:{latitude:.5f},{longitude:.5f} now")
    assert abs(found.latitude - latitude) < 1e-5
    assert abs(found.longitude - longitude) < 1e-5
