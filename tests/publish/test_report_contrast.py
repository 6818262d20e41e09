"""Every colour of text in a report stands out from its ground, light and dark; marks of pictures do at 3:1."""

import re

import pytest

from riskmon.publish.reports.html import STYLE

USED_ON = {
    "ink": ("ground", "sheet", "over-wash"),
    "quiet": ("ground", "sheet"),
    "within": ("sheet",),
    "near": ("sheet",),
    "over": ("ground", "sheet", "over-wash"),
    "on-heat": ("heat-0", "heat-1", "heat-2", "heat-3"),
    "on-hot": ("heat-4",),
}
MARKS = {
    "plain": ("ground", "sheet"),
    **{f"part-{name}": ("ground",) for name in ("volume", "prompts", "samples", "judge", "chance")},
}


def palettes():
    """Light and dark; the dark one stands after the media query and overrides the light one."""
    light, dark = {}, {}
    dark_query = r"@media screen and \(prefers-color-scheme: dark\) \{\s*"
    for match in re.finditer(rf"({dark_query})?:root \{{(.*?)\}}", STYLE, re.DOTALL):
        if "@media print" in STYLE[: match.start()]:
            continue
        (dark if match[1] else light).update(re.findall(r"--([\w-]+): (#\w{6});", match[2]))
    return {"light": light, "dark": dark}


def luminance(colour):
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


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


def test_both_schemes_define_the_same_colours():
    both = palettes()
    assert both["light"].keys() == both["dark"].keys()
    assert len(both["light"]) > 20


def test_no_colour_of_text_escapes_the_test():
    used = set(re.findall(r"(?<![\w-])(?:color|fill): var\(--([\w-]+)\)", STYLE))
    assert used <= USED_ON.keys() | MARKS.keys()
