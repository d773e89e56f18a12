"""What a message may hold: the world's texts unharmed, hostile ones bounded, and cleaning twice changes nothing."""

import unicodedata
from collections.abc import Callable

import pytest
import regex
from hypothesis import example, given, settings
from hypothesis import strategies as st

from livecomments_schemas.errors import Rejected
from livecomments_schemas.limits import (
    COMBINING_MARKS_MAX,
    DISPLAY_NAME_BYTES_MAX,
    DISPLAY_NAME_GRAPHEMES_MAX,
    MESSAGE_BYTES_MAX,
    MESSAGE_GRAPHEMES_MAX,
)
from livecomments_schemas.text import (
    DisplayNameRejected,
    MessageEmptyRejected,
    MessageTooLongRejected,
    TextNotUnicodeRejected,
    TextRejected,
    clean_display_name,
    clean_message,
    fitting_display_name,
    skeleton,
)

from .texts import WORLD

TRICKY = st.sampled_from(
    "aA \n\r\t\0\x0b\x0c\x1b\x7f\x85\xa0\u00ad\u0301\u0323\u0308\u034f\u035c\u0600\u061c\u0915\u094d\u09c7\u09be\u0958"
    "\u1100\u1161\u11a8\u1160\u180b\u180e\u1820\u1836\u200b\u200c\u200d\u200e\u2028\u2029\u202e\u2060\u2066\u2069\u2126"
    "\u212b\u2800\u3000\u3164\ud800\udfff\ue000\ufb2c\ufdfa\ufe0f\ufeff\ufff9\ufffd\uffff\U0001d160\U0001f1e6\U0001f3f4"
    "\U0001f3fd\U0001f468\U000e0001\U000e0030\U000e0067\U000e007f\U000e0100\U0010ffff"
)
ANYTHING = st.text(st.characters(exclude_categories=()), max_size=600) | st.text(TRICKY, max_size=600)
MARKS_MORE_THAN_ALLOWED = regex.compile(rf"(?:\p{{M}}[\u200c\u200d]*){{{COMBINING_MARKS_MAX + 1}}}")
INVISIBLE = regex.compile(r"[\p{Cc}\p{Cs}\p{Co}\p{Cn}\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


@pytest.mark.parametrize("text", WORLD)
def test_the_worlds_texts_come_through_unharmed(text: str) -> None:
    assert clean_message(text) == text
    assert clean_message(unicodedata.normalize("NFD", text)) == text


def test_there_are_enough_of_the_worlds_texts_to_say_so() -> None:
    assert len(set(WORLD)) >= 120


@pytest.mark.parametrize("text", [text for text in WORLD if not set("\n\t\u3000\u202f") & set(text)])
def test_the_worlds_names_come_through_unharmed(text: str) -> None:
    name = "".join(regex.findall(r"\X", text)[:5]).strip()
    assert clean_display_name(name) == name


@settings(max_examples=1_000)
@given(ANYTHING)
@example("a" + "\u0300\u200d" * 300)
@example("\u1820" + "\u0301" * 8 + "\u180b\u180e\u1820")
@example("\u1820\u180b\u180e\u180e\u1820")
@example("\U0001f3f4\u200b\U000e0067\U000e0062\U000e0065\U000e007f")
@example("\u0958" * 200)
@example("\n \u0301x")
@example("\u09c7" + "\u0301" * 8 + "\u09be")
def test_cleaning_twice_changes_nothing_and_raises_nothing_but_text_rejected(text: str) -> None:
    for clean in (clean_message, clean_display_name):
        try:
            cleaned = clean(text)
        except TextRejected:
            continue
        assert clean(cleaned) == cleaned


@given(ANYTHING)
def test_what_is_accepted_is_within_every_bound_and_holds_nothing_unseen(text: str) -> None:
    try:
        cleaned = clean_message(text)
    except TextRejected:
        return
    assert 0 < len(cleaned.encode()) <= MESSAGE_BYTES_MAX
    assert len(regex.findall(r"\X", cleaned)) <= MESSAGE_GRAPHEMES_MAX
    assert unicodedata.is_normalized("NFC", cleaned)
    assert cleaned == cleaned.strip()
    assert not MARKS_MORE_THAN_ALLOWED.search(cleaned)
    assert not INVISIBLE.search(cleaned.replace("\n", "").replace("\t", ""))


@given(ANYTHING)
def test_an_accepted_name_is_one_line_within_its_bounds(text: str) -> None:
    try:
        cleaned = clean_display_name(text)
    except TextRejected:
        return
    assert 0 < len(cleaned.encode()) <= DISPLAY_NAME_BYTES_MAX
    assert 1 <= len(regex.findall(r"\X", cleaned)) <= DISPLAY_NAME_GRAPHEMES_MAX
    assert cleaned.splitlines() == [cleaned]
    assert "\t" not in cleaned


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("  hi  ", "hi"),
        ("e\u0301", "\u00e9"),
        ("1\r\n2\r3\u20284\u20295\x856\x0b7\x0c8", "1\n2\n3\n4\n5\n6\n7\n8"),
        ("a\x1b[31mred\x07", "a[31mred"),
        ("user\u202egnp.exe", "usergnp.exe"),
        ("\u2066isolated\u2069 \u200fmark\u200e \u061cmark", "isolated mark mark"),
        ("zero\u200bwidth\ufeff and\u2060joined soft\u00adhyphen", "zerowidth andjoined softhyphen"),
        ("private \ue000\U000f0000\U0010fffd use", "private  use"),
        ("un\u0378assigned \ufdd0\uffff", "unassigned"),
        ("tagged\U000e0041\U000e0042\U000e007f", "tagged"),
        ("🏴\U000e0067\U000e0062", "🏴"),
        ("🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e0067\U000e0067\U000e007f", "🏴"),
        ("no\u180ebreak", "nobreak"),
        ("x\u180e\u1820\u180ex \u1820\u0301\u180e\u1820", "x\u1820x \u1820\u0301\u1820"),
        ("\ufdfa", "\ufdfa"),
        ("ﬁ①", "ﬁ①"),
        ("a" + "\u0323" * 20 + "b", "\u1ea1" + "\u0323" * 8 + "b"),
        ("q" + "\u0323\u200d" * 20 + "!", "q" + "\u0323\u200d" * 8 + "!"),
        ("\u212b\u2126", "\u00c5\u03a9"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("\0".join("ab").replace("\0", "\x01"), "ab"),
    ],
)
def test_what_is_changed_is_changed_to_this(text: str, cleaned: str) -> None:
    assert clean_message(text) == cleaned


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\n\n\t",
        "\u200b",
        "\u200d\u200d",
        "\u0301",
        "\ufe0f",
        "\u3000\u2003\u00a0",
        "\u3164",
        "\u115f\u1160",
        "\uffa0",
        "\u2800\u2800",
        "\u202e\u2066",
        "\U000e0041",
        "\u034f\u17b4\u17b5",
        "\ufffc",
        "\ufffc \u2800\n\u3164",
        "\U0001d159",
        "\U00013441\U00013442",
        "\U0001d173\U000e0100\u2064",
        "\u0600",
        " \u0301 \u20dd",
    ],
    ids=lambda text: "-".join(f"{ord(one):x}" for one in text),  # a name that a mutation tool finds again
)
def test_a_message_that_shows_nothing_is_empty(text: str) -> None:
    with pytest.raises(MessageEmptyRejected) as rejected:
        clean_message(text)
    assert rejected.value.code == "message_empty"
    with pytest.raises(DisplayNameRejected):
        clean_display_name(text)


@given(ANYTHING)
def test_what_is_accepted_has_a_skeleton_whose_skeleton_it_is(text: str) -> None:
    try:
        cleaned = clean_message(text)
    except TextRejected:
        cleaned = text
    else:
        assert skeleton(cleaned)
    assert skeleton(skeleton(cleaned)) == skeleton(cleaned)


UNSEEN = st.sampled_from(
    "\u200b\u200c\u200d\u200e\u200f\u2060\u2064\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b\u180e\u180f\u202a\u202e"
    "\u2066\u2069\u206f\u3164\ufe00\ufe0f\ufeff\uffa0\ufff9\ufffb\U0001bca0\U0001d173\U000e0001\U000e0061\U000e007f\U000e0100"
)
BLANKS = st.sampled_from(" \t\n\u00a0\u1680\u2003\u2009\u200a\u2028\u202f\u205f\u2800\u3000\ufffc")


@given(st.text(st.sampled_from("aZß中ش👩1 "), min_size=1), st.lists(st.tuples(st.integers(0, 99), UNSEEN)), st.data())
def test_nothing_that_is_not_seen_and_no_kind_of_blank_makes_a_text_another(
    text: str, hidden: list[tuple[int, str]], data: st.DataObject
) -> None:
    changed = list(text)
    for at, character in hidden:
        changed.insert(at % (len(changed) + 1), character)
    changed = [data.draw(BLANKS) if each == " " else each for each in changed]
    assert skeleton("".join(changed)) == skeleton(text)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("Hello  World ", "hello world"),
        ("ＦＵＬＬ ﬁ①", "full fi1"),
        ("Straße", "strasse"),
        ("e\u0301", "\u00e9"),
        ("ΣΑΣ", "σασ"),
        ("𝐛𝓪𝖉 ⓑⓐⓓ 🄱🄰🄳 🅱🅰🅳 🅑🅐🅓 ᵇᵃᵈ", "bad bad bad bad bad bad"),
        ("b\u0336a\u0336d\u0336", "bad"),
        ("b\u0335\u0321\u0301" * 3, "bbb"),
        ("b\u20dda\u0489d\u0338", "bad"),
        ("\u202edab\u202c \u2066bad\u2069 ba\u00add b\u034fad", "dab bad bad bad"),
        ("क\u094dषि नि বাং ไทยที่ か\u3099 שָׁלוֹם", "क\u094dषि नि বাং ไทยที่ が שָׁלוֹם"),
    ],
)
def test_a_skeleton_is_in_one_case_and_width(text: str, seen: str) -> None:
    assert skeleton(text) == seen


@pytest.mark.parametrize("pair", [("a", "\u0430"), ("resume", "résumé"), ("no", "on"), ("ab", "a b")])
def test_what_is_seen_as_different_stays_different(pair: tuple[str, str]) -> None:
    assert skeleton(pair[0]) != skeleton(pair[1])


@settings(max_examples=300)
@given(ANYTHING | st.text(max_size=9_000))
def test_a_name_that_somebody_else_chose_is_cut_to_one_that_fits(text: str) -> None:
    try:
        fitting = fitting_display_name(text)
    except TextRejected:
        return
    assert clean_display_name(fitting) == fitting


@pytest.mark.parametrize(
    ("clean", "text", "reason"),
    [
        (clean_message, "x" * (MESSAGE_BYTES_MAX + 1), f"at most {MESSAGE_BYTES_MAX} bytes of UTF-8; this one has "),
        (clean_message, "x" * (MESSAGE_GRAPHEMES_MAX + 1), f"at most {MESSAGE_GRAPHEMES_MAX} characters."),
        (clean_message, " ", "Write something: this message has no visible character."),
        (clean_display_name, "x" * (DISPLAY_NAME_BYTES_MAX + 1), f"at most {DISPLAY_NAME_BYTES_MAX} bytes of UTF-8."),
        (clean_display_name, " ", f"has 1 to {DISPLAY_NAME_GRAPHEMES_MAX} characters."),
    ],
)
def test_a_refusal_says_what_would_be_taken(clean: Callable[[str], str], text: str, reason: str) -> None:
    with pytest.raises(TextRejected) as rejected:
        clean(text)
    assert reason in str(rejected.value)
    assert str(rejected.value)[0] in "AW"


def test_a_name_is_cut_behind_a_whole_character() -> None:
    assert fitting_display_name(" Ana \n Maria ") == "Ana Maria"
    assert fitting_display_name("n" * 41) == "n" * 40
    family = "👨\u200d👩\u200d👧\u200d👦"
    assert fitting_display_name(family * 41) == family * (DISPLAY_NAME_BYTES_MAX // len(family.encode()))
    assert fitting_display_name("e\u0301" * 60) == "é" * 40
    with pytest.raises(DisplayNameRejected):
        fitting_display_name("\ufffc" * 50)


@pytest.mark.parametrize("text", ["\ud800", "ok \udfff", "a\0b", "\0"])
def test_what_is_no_unicode_text_is_rejected_as_such(text: str) -> None:
    for clean in (clean_message, clean_display_name):
        with pytest.raises(TextNotUnicodeRejected) as rejected:
            clean(text)
        assert rejected.value.code == "text_not_unicode"
        assert ("U+0000" if "\0" in text else "surrogate") in str(rejected.value)


@pytest.mark.parametrize("letter", ["x", "é", "한", "🎉", "é".encode().decode(), "1\ufe0f"])
def test_a_message_has_at_most_500_characters(letter: str) -> None:
    fits = letter * min(MESSAGE_GRAPHEMES_MAX, MESSAGE_BYTES_MAX // len(letter.encode()))
    assert clean_message(fits) == fits
    with pytest.raises(MessageTooLongRejected) as rejected:
        clean_message(fits + letter)
    assert rejected.value.code == "message_too_long"


def test_characters_are_counted_as_people_see_them() -> None:
    family = "👨\u200d👩\u200d👧\u200d👦"
    fits = family * (MESSAGE_BYTES_MAX // len(family.encode()))
    assert clean_message(fits) == fits
    assert clean_display_name("e\u0323\u0301" * 40) == "\u1eb9\u0301" * 40


def test_the_byte_limit_counts_what_was_sent_and_what_it_becomes() -> None:
    assert len(("x" * 10 + " " * 2_038).encode()) == MESSAGE_BYTES_MAX
    assert clean_message("x" * 10 + " " * 2_038) == "x" * 10
    with pytest.raises(MessageTooLongRejected):
        clean_message("x" * 10 + " " * 2_039)
    grows = "\U0001d160" * 300  # 4 bytes each; 12 in normal form
    assert len(grows.encode()) < MESSAGE_BYTES_MAX
    with pytest.raises(MessageTooLongRejected):
        clean_message(grows)
    with pytest.raises(DisplayNameRejected):
        clean_display_name("\U0001d160" * 20)


def hostile(marks: int) -> str:
    """What makes normalisation quadratic: marks above and below one letter in turn."""
    return "a" + "\u0315\u0316" * (marks // 2)


def test_hostile_marks_within_the_byte_limit_are_cut_to_the_bound() -> None:
    cleaned = clean_message(hostile(1_000))
    assert len(unicodedata.normalize("NFD", cleaned)) <= 3 + COMBINING_MARKS_MAX


def test_an_over_long_text_is_rejected_before_any_work_on_it() -> None:
    text = hostile(2_000_000)  # normalising it would take longer than a test may
    with pytest.raises(MessageTooLongRejected):
        clean_message(text)
    with pytest.raises(DisplayNameRejected):
        clean_display_name(text)


def test_a_name_is_put_on_one_line() -> None:
    assert clean_display_name(" Ana \n\t Maria\u2028Lopez\u3000 ") == "Ana Maria Lopez"


@pytest.mark.parametrize("name", ["x" * (DISPLAY_NAME_GRAPHEMES_MAX + 1), "👩🏽\u200d🚀" * 14, "y" * 100_000])
def test_an_over_long_name_is_rejected(name: str) -> None:
    with pytest.raises(DisplayNameRejected) as rejected:
        clean_display_name(name)
    assert rejected.value.code == "invalid_display_name"


@pytest.mark.parametrize("text", ["secret\ud800", "secret" * 1_000, "\u3164"])
def test_a_rejection_never_repeats_what_was_sent(text: str) -> None:
    for clean in (clean_message, clean_display_name):
        with pytest.raises(TextRejected) as rejected:
            clean(text)
        assert isinstance(rejected.value, Rejected)
        assert "secret" not in str(rejected.value)
        assert "\u3164" not in str(rejected.value)
