"""Options of a prediction: what each accepts, and a line that says so where it does not."""

import re
from typing import Any

import pytest

from intarsia.errors import SettingsError
from intarsia.options import PredictOptions, make_options


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("tile", 0, "greater than or equal to 1"),
        ("tile", "wide", "valid integer"),
        ("tile", 2.5, "valid integer"),
        ("overlap", -1, "greater than or equal to 0"),
        ("batch", 0, "greater than or equal to 1"),
        ("batch", 1025, "less than or equal to 1024"),
        ("tta", "perhaps", "valid boolean"),
        ("threshold", 1.5, "less than or equal to 1"),
        ("threshold", float("nan"), "finite|less|greater"),
        ("threshold", {"crack": -0.1}, "greater than or equal to 0"),
        ("threshold", {"crack": "much"}, "valid number"),
        ("threshold", "crack", "valid dictionary"),
        ("min_area", -1, "greater than or equal to 0"),
        ("min_area", 2.5, "valid integer"),
        ("classes", {"a": 1}, "valid (tuple|string)"),
        ("classes", [3], "valid string"),
        ("touching", "maybe", "valid boolean"),
        ("tolerance", -0.5, "greater than or equal to 0"),
        ("tolerance", float("inf"), "finite"),
        ("pixel_size", 0.5, "valid string"),
        ("spacing", [2, 1, 1], "valid string"),
        ("level", -1, "greater than or equal to 0"),
        ("mpp", 0, "greater than 0"),
        ("float_probabilities", "x", "valid boolean"),
        ("compile", "x", "valid boolean"),
        ("shard", "x", "valid tuple"),
        ("shard", "1", "valid tuple"),
        ("shard", "1/x", "valid integer"),
        ("shard", "0/4", "greater than or equal to 1"),
        ("shard", "1/0", "greater than or equal to 1"),
        ("shard", (1, 2, 3), "at most 2 items"),
        ("shard", [1], r"^--shard \[1\]: more values are expected \(this process's part of the work, such as 1/4"),
        ("shard", [], "more values are expected"),
        ("shard", "1/2/3", "valid tuple"),
    ],
    ids=str,
)
def test_a_wrong_value_is_one_line_that_names_the_option(name: str, value: Any, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        make_options({name: value})
    line = str(caught.value)
    assert line.startswith(f"--{name.replace('_', '-')} ")
    assert "\n" not in line
    assert str(PredictOptions.model_fields[name].description) in line


@pytest.mark.parametrize("given", ["tta", ["tta"], {"tta"}, 5, True], ids=str)
def test_options_that_are_no_mapping_are_one_line(given: Any) -> None:
    words = f"Options {given!r}: expected is a mapping of names, such as {{'tta': True}}."
    with pytest.raises(SettingsError, match=f"^{re.escape(words)}$"):
        make_options(given)


def test_every_option_says_what_it_is() -> None:
    assert all(field.description for field in PredictOptions.model_fields.values())


def test_two_wrong_values_are_two_lines() -> None:
    with pytest.raises(SettingsError) as caught:
        make_options({"batch": 0, "tolerance": -1})
    assert [line.split()[0] for line in str(caught.value).splitlines()] == ["--batch", "--tolerance"]


def test_an_unknown_option_offers_the_nearest() -> None:
    with pytest.raises(SettingsError, match=r"^Option 'tresholds' is unknown\. Did you mean 'threshold'\?$"):
        make_options({"tresholds": 0.5})
    with pytest.raises(SettingsError, match=r"^Option 'qqq' is unknown\. Known: batch, classes, "):
        make_options({"qqq": 0.5})


@pytest.mark.parametrize("shard", ["2/3", " 2 / 3 ", (2, 3), [2, 3], ("2", "3")], ids=str)
def test_shards_are_written_in_several_ways(shard: Any) -> None:
    assert make_options({"shard": shard}).shard == (2, 3)


def test_a_shard_beyond_the_last_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"^--shard 4/3: counts from 1 to 3\.$"):
        make_options({"shard": "4/3"})


def test_a_size_is_given_once() -> None:
    with pytest.raises(SettingsError, match=r"^--pixel-size and --spacing: .*Give one\.$"):
        make_options({"pixel_size": "1mm", "spacing": "2mm,1mm,1mm"})


def test_numbers_and_names_alone() -> None:
    assert make_options({"threshold": 0.3}).threshold == {"": 0.3}
    assert make_options({"threshold": {"": "0.3"}}).threshold == {"": 0.3}
    assert make_options({"classes": "crack"}).classes == ("crack",)


def test_options_go_into_json_and_back() -> None:
    options = make_options({"threshold": {"crack": 0.3}, "classes": ["crack"], "shard": "2/3", "mpp": 0.5})
    assert make_options(options.model_dump(mode="json")) == options
    assert make_options({}) == PredictOptions()


@pytest.mark.parametrize("given", [{"shard": (5, 4)}, {"pixel_size": "1mm", "spacing": "2mm,1mm,1mm"}], ids=str)
def test_options_made_by_hand_contradict_each_other_no_more_than_given_ones(given: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as made:
        PredictOptions(**given)
    with pytest.raises(SettingsError) as read:
        make_options(given)
    assert str(made.value) == str(read.value)
