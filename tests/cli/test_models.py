"""`intarsia models`, and networks by name on the command line: one good and several bad words each."""

import json
import sys

import pytest


def test_a_list_of_one_kind(intarsia):
    code, out, err = intarsia("models", "torchvision:fcn", "--size", "64,96")
    assert code == 0
    assert "torchvision:fcn_resnet50 " in out
    assert "torchvision:fcn_resnet101" in out
    assert "BSD-3-Clause (torchvision)" in out
    assert "one image of 64x96 with 3 bands; 21 classes" in " ".join(out.split())
    assert err == ""


def test_one_network_with_all_that_is_known_of_it(intarsia):
    code, out, _ = intarsia("models", "smp:Unet/mit_b0")
    assert code == 0
    told = dict(line.split(None, 1) for line in out.splitlines()[:7])
    assert told["parameters"].startswith("5.5")
    assert told["licence"] == "NVIDIA Source Code License for SegFormer: non-commercial"
    assert told["weights"].startswith("smp-hub/mit_b0.imagenet (")
    assert "intarsia train DATA --model smp:Unet/mit_b0" in out


def test_json_is_one_object_and_nothing_else(intarsia):
    code, out, err = intarsia("models", "compact", "--json", "--bands", "5", "--classes", "2")
    (told,) = json.loads(out)["models"]
    assert code == 0
    assert err == ""
    assert told["name"] == "compact"
    assert told["parameters"] > 1_000_000
    assert told["weights"] is None


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["efficientunet"], 2, "No network's name contains 'efficientunet'"),
        (["smp:Unet/resnet43"], 2, "there is no encoder 'resnet43' for it. Did you mean 'resnet34'?"),
        (["smp:DeepLabV3/vgg11"], 2, "segmentation_models_pytorch cannot build it"),
        (["unet", "--size", "0,64"], 2, "train.size"),
        (["unet", "--bands", "0"], 2, "--bands"),
    ],
)
def test_bad_words(intarsia, words, code, said):
    got, out, err = intarsia("models", *words)
    assert got == code
    assert said in err
    assert out == ""


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--model", "smp:Unnet/resnet18"], 2, "Did you mean 'Unet'?"),
        (["--model", "unet", "model.pretrained=true"], 2, "no weights are published for unet"),
        (["--model", "unet", "model.pretrained=missing.safetensors"], 4, "missing.safetensors: does not exist"),
        (
            ["--model", "smp:FPN/resnet18", "model.pretrained=false", "model.width=8"],
            2,
            "it belongs to compact, unet",
        ),
        (["optim.freeze=never"], 2, "optim.freeze"),
        (["optim.layer_decay=0"], 2, "optim.layer_decay"),
    ],
)
def test_bad_networks_and_weights_end_a_training_before_it_begins(
    intarsia, photos, tmp_path, arguments, code, said
):
    got, out, err = intarsia("train", photos, "--out", tmp_path / "run", "--steps", "1", *arguments)
    assert got == code
    assert said in err
    assert "Traceback" not in err
    assert out == ""


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [
        ("smp:Unet/resnet18", "segmentation_models_pytorch", "smp"),
        ("torchvision:fcn_resnet50", "torchvision", "torchvision"),
        ("hf:nvidia/mit-b0", "huggingface_hub", "hf"),
    ],
)
def test_a_library_that_is_not_installed_is_named_with_its_install_line(
    intarsia, photos, tmp_path, monkeypatch, name, module, extra
):
    for loaded in [one for one in sys.modules if one.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, module, None)
    code, _, err = intarsia("train", photos, "--out", tmp_path / "run", "--model", name)
    assert code == 5
    assert f"error: {module} is not installed. Install it: pip install 'intarsia[{extra}]'" in err
