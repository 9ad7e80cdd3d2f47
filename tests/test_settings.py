"""Settings: one schema for Python, TOML and the command line."""

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from intarsia.errors import SettingsError
from intarsia.quantities import seconds
from intarsia.settings import (
    Settings,
    differences,
    make_settings,
    parse_overrides,
    read_toml,
    write_toml,
)

DURATIONS = {"10m": 600, "1h30m": 5400, "90s": 90, "45": 45, "1.5h": 5400, "1h1m1s": 3661, "2m30": 150, " 5m ": 300}


@pytest.mark.parametrize(("text", "expected"), [*DURATIONS.items(), (12, 12), (0.5, 0.5)])
def test_durations(text, expected):
    assert seconds(text) == expected
    assert make_settings({"train": {"budget": text}}).train.budget == expected


@pytest.mark.parametrize("text", ["", "m", "10x", "-5m", "m10", "10 minutes", "0m", "inf", "nan"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(SettingsError, match=r"train\.budget = .*10m, 1h30m"):
        make_settings({"train": {"budget": text}})


@pytest.mark.parametrize("size", ["120,160", "120x160", " 120 , 160 ", (120, 160), [120, 160]])
def test_sizes_are_height_and_width(size):
    assert make_settings({"train": {"size": size}}).train.size == (120, 160)


@pytest.mark.parametrize("size", [128, "128"])
def test_one_number_is_a_square(size):
    assert make_settings({"train": {"size": size}}).train.size == (128, 128)


@pytest.mark.parametrize("size", ["12,", "1,2,3", "big", 0, (0, 5), (4, 16385), "12.5,3"])
def test_what_is_no_size_is_refused(size):
    with pytest.raises(SettingsError, match=r"train\.size.*height, width"):
        make_settings({"train": {"size": size}})


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("optim.lr=1e-4", {"optim": {"lr": 1e-4}}),
        ("model.name=unet", {"model": {"name": "unet"}}),
        ('model.name="unet"', {"model": {"name": "unet"}}),
        ("train.budget=10m", {"train": {"budget": "10m"}}),
        ("train.ema=false", {"train": {"ema": False}}),
        ("augment.scale=0.5,2", {"augment": {"scale": ["0.5", "2"]}}),
        ("augment.scale=[1, 1]", {"augment": {"scale": [1, 1]}}),
        ("data.scene_separator==", {"data": {"scene_separator": "="}}),
        ("data.scene_separator=", {"data": {"scene_separator": ""}}),
        ("train.device=cuda:1", {"train": {"device": "cuda:1"}}),
    ],
)
def test_overrides(override, expected):
    assert parse_overrides([override]) == expected
    make_settings(expected)


def test_later_overrides_win():
    assert parse_overrides(["optim.lr=1", "optim.clip=2", "optim.lr=0.5"]) == {"optim": {"lr": 0.5, "clip": 2}}


@pytest.mark.parametrize("override", ["lr=1", "optim.lr", "optim.=1", "", "="])
def test_malformed_overrides_show_the_form(override):
    with pytest.raises(SettingsError, match=r"section\.key=value.*optim\.lr=1e-3"):
        parse_overrides([override])


@pytest.mark.parametrize(
    ("text", "expected"), [("11", (11,)), ("11,12", (11, 12)), ("[11, 12]", (11, 12)), ("[]", ())]
)
def test_ignored_values_alone_or_as_a_list(text, expected):
    assert make_settings(parse_overrides([f"data.ignore={text}"])).data.ignore == expected


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        ({"optim": {"lrr": 1}}, r"'optim\.lrr' is unknown\. Did you mean 'optim\.lr'\?"),
        ({"trian": {"steps": 1}}, r"'trian' is unknown\. Did you mean 'train'\?"),
        ({"train": {"lr": 1}}, r"'train\.lr' is unknown\. Did you mean 'optim\.lr'\?"),
        ({"loss": {"zzz": 1}}, r"'loss\.zzz' is unknown\. Known: loss\.auxiliary_weight, loss\.boundary_weight, "),
        ({"lr": 0.1}, r"'lr': write it as section\.key, for example optim\.lr"),
        ({"optim": {"lr": 2}}, r"optim\.lr = 2: .*less than or equal to 1 \(highest learning rate\)"),
        ({"augment": {"scale": [1]}}, r"^augment\.scale = \[1\]: more values are expected \("),
        ("train", r"^Settings 'train': expected is a mapping of sections, such as {'train': {'steps': 100}}\.$"),
        ({"data": {"val_share": 0}}, r"data\.val_share = 0: .*greater than 0"),
        ({"model": {"up": "linear"}}, r"model\.up = linear: .*'bilinear' or 'transposed'"),
        ({"model": {"stem": 3}}, r"model\.stem = 3: .*1, 2 or 4"),
        ({"train": {"steps": 1.5}}, r"train\.steps = 1\.5: .*valid integer"),
        ({"data": {"ignore": [70000]}}, r"data\.ignore = 70000: .*65535"),
        ({"augment": {"scale": [2, 0.5]}}, r"augment\.scale = 2\.0, 0\.5: the smallest zoom stands first"),
        ({"optim": {"lr": float("nan")}}, r"optim\.lr = nan"),
        ({"train": {"epochs": float("inf")}}, r"train\.epochs = inf: .*finite"),
    ],
)
def test_what_is_wrong_is_named(layer, words):
    with pytest.raises(SettingsError, match=words):
        make_settings(layer)


def test_everything_wrong_is_named_at_once():
    with pytest.raises(SettingsError) as raised:
        make_settings({"optim": {"lr": 2, "clip": 0}, "modle": {}})
    lines = str(raised.value).splitlines()
    assert len(lines) == 3
    assert all(any(name in line for line in lines) for name in ("optim.lr", "optim.clip", "'modle'"))


@pytest.mark.parametrize("given", [("budget", "epochs"), ("epochs", "steps"), ("budget", "epochs", "steps")])
def test_only_one_length(given):
    with pytest.raises(SettingsError, match=" and ".join(given) + ": only one of budget, epochs and steps"):
        make_settings({"train": dict.fromkeys(given, 5)})


def test_later_layers_win_name_by_name():
    made = make_settings({"optim": {"lr": 0.1, "clip": 2}}, {"optim": {"lr": 0.2}}, {"train": {"seed": 3}}, {})
    assert (made.optim.lr, made.optim.clip, made.train.seed) == (0.2, 2, 3)
    assert make_settings() == Settings()


def test_settings_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Settings().train.seed = 1


def test_differences():
    old, new = make_settings({"optim": {"lr": 0.1}}), make_settings({"train": {"size": 64}})
    assert differences(old, new) == {"optim.lr": (0.1, None), "train.size": (None, (64, 64))}
    assert differences(old, old) == {}


LAYERS = st.fixed_dictionaries(
    {
        "data": st.fixed_dictionaries(
            {
                "ignore": st.lists(st.integers(0, 65535), max_size=4),
                "val_share": st.floats(0, 1, exclude_min=True, exclude_max=True),
                "scene_separator": st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
                "cache": st.none() | st.booleans(),
            }
        ),
        "augment": st.fixed_dictionaries(
            {"scale": st.tuples(st.floats(0.02, 1), st.floats(1, 99)), "rotate": st.floats(0, 180)}
        ),
        "optim": st.fixed_dictionaries({"lr": st.floats(1e-300, 1), "weight_decay": st.floats(0, 1)}),
        "train": st.one_of(
            st.fixed_dictionaries({"budget": st.floats(1e-9, 1e30)}),
            st.fixed_dictionaries({"steps": st.integers(1, 10**9), "seed": st.integers(0, 2**63 - 1)}),
            st.fixed_dictionaries({"size": st.tuples(st.integers(1, 16384), st.integers(1, 16384))}),
        ),
    }
)


@given(LAYERS)
@example({"data": {"scene_separator": '\\"\n\x00\x7f\u2028é'}})
@hypothesis_settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_toml_round_trip(tmp_path, layer):
    made = make_settings(layer)
    write_toml(made, tmp_path / "settings.toml")
    assert make_settings(read_toml(tmp_path / "settings.toml")) == made


def test_toml_explains_each_setting(tmp_path):
    write_toml(Settings(), tmp_path / "settings.toml")
    lines = (tmp_path / "settings.toml").read_text().splitlines()
    assert any(
        line.startswith("weight_decay = 0.01") and line.endswith("# of matrices and kernels only") for line in lines
    )
    assert any(line.startswith("# budget =") for line in lines)


def test_unreadable_toml(tmp_path):
    with pytest.raises(SettingsError, match=r"gone\.toml: cannot be read: No such file"):
        read_toml(tmp_path / "gone.toml")
    (tmp_path / "bad.toml").write_text("lr = \n")
    with pytest.raises(SettingsError, match=r"bad\.toml: is not valid TOML: .*line 1"):
        read_toml(tmp_path / "bad.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=r"binary\.toml: is not valid TOML"):
        read_toml(tmp_path / "binary.toml")


@pytest.mark.parametrize(("given", "freeze"), [("true", "always"), ("false", 0), ("always", "always"), ("20", 20)])
def test_freeze_takes_yes_and_no_for_what_they_mean(given, freeze):
    assert make_settings(parse_overrides([f"optim.freeze={given}"])).optim.freeze == freeze
