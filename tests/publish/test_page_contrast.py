"""Every colour of text stands out from every ground it lies on: 4.5:1 at least (WCAG 2.2, 1.4.3), light and dark."""

import re

import pytest

from riskmon.publish import page

# Text colour -> the grounds it is used on, read off page.css.
USED_ON = {
    "ink": ("ground", "sheet", "over-wash"),
    "quiet": ("ground", "sheet"),
    "within": ("ground", "sheet"),
    "near": ("sheet",),
    "over": ("ground", "sheet", "over-wash"),
}
# Marks of pictures: 3:1 is enough (1.4.11).
MARKS = {"plain": ("ground", "sheet")}


def palettes() -> dict[str, dict[str, str]]:
    light, dark = re.findall(r":root \{(.*?)\}", page.STYLE, re.DOTALL)
    assert page.STYLE.index("prefers-color-scheme: dark") < page.STYLE.index(dark)
    return {
        name: dict(re.findall(r"--([\w-]+): (#\w{6});", text))
        for name, text in (("light", light), ("dark", dark))
    }


def luminance(colour: str) -> float:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_the_formula_on_known_pairs():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("least", "pairs"), [(4.5, USED_ON), (3.0, MARKS)], ids=["text", "marks"])
def test_colours_stand_out(scheme, least, pairs):
    palette = palettes()[scheme]
    found = {
        (colour, ground): contrast(palette[colour], palette[ground])
        for colour, grounds in pairs.items()
        for ground in grounds
    }
    assert {pair: ratio for pair, ratio in found.items() if ratio < least} == {}


def test_no_colour_of_text_escapes_the_test():
    used = set(re.findall(r"(?<![\w-])color: var\(--([\w-]+)\)", page.STYLE))
    assert used <= USED_ON.keys() | MARKS.keys()
    assert set(re.findall(r"background: var\(--([\w-]+)\)", page.STYLE)) == {"ground", "sheet", "over-wash"}


def test_both_schemes_define_the_same_colours_and_nothing_else_does():
    both = palettes()
    assert both["light"].keys() == both["dark"].keys()
    rest = re.sub(r":root \{.*?\}", "", page.STYLE, flags=re.DOTALL)
    assert re.findall(r"#[0-9a-fA-F]{3,8}\b|rgb\(|hsl\(", rest) == []
