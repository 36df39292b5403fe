"""Flags that are made from the fields of a dataclass."""

import argparse
from dataclasses import dataclass

import pytest

from bilm.program.options import add_options, option, parse_boolean
from bilm.program.parser import Parser


@dataclass
class Cake:
    layers: int = option(2, "how many", aliases=["floors"])
    sugar: float = option(0.5, "how sweet")
    name: str = option("", "what to call it", choices=("", "莲花", "月饼"))
    baked: bool = option(True, "whether it was in the oven")


def test_flags_are_made_from_fields():
    parser = Parser("bake", "Bake a cake.")
    add_options(parser, Cake)
    assert vars(parser.parse_args([])) == {}  # what is not given leaves nothing
    given = vars(parser.parse_args(
        ["--floors", "3", "--sugar", "1", "--name", "月饼", "--baked", "no"]
    ))
    assert given == {"layers": 3, "sugar": 1.0, "name": "月饼", "baked": False}
    assert [type(value) for value in given.values()] == [int, float, str, bool]


@pytest.mark.parametrize("text", ["", "maybe", "2", "None", "falsch"])
def test_only_booleans_are_booleans(text):
    with pytest.raises(argparse.ArgumentTypeError, match=f"expected True or False, found '{text}'"):
        parse_boolean(text)
