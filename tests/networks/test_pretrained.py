"""Weights in the libraries' real formats, loaded through the same path that the hub's take."""

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import segmentation_models_pytorch as smp
import timm
import torch
import torchvision.models.segmentation as torchvision_models
from safetensors.torch import save, save_file
from torchvision.models.segmentation import DeepLabV3_MobileNet_V3_Large_Weights

from intarsia.errors import MachineError, ModelFileError, SettingsError
from intarsia.finetuning import begin_with, weights_file
from intarsia.modelfile import ModelCard, save_model
from intarsia.networks import make_blueprint, published_or_foreign
from intarsia.networks.contract import Pretrained
from intarsia.networks.segmenter import Segmenter
from intarsia.networks.transfer import adapt_bands, read_tensors
from intarsia.settings import ModelSettings
from tests.conftest import HubCache
from tests.networks.checkpoints import transformers_checkpoint
from tests.networks.zoo import card_of, segmenter_of, settings_of

IMAGENET = (pytest.approx([123.675, 116.28, 103.53]), pytest.approx([58.395, 57.12, 57.375]))
RESNET18 = ("smp-hub/resnet18.imagenet", "3f2325ff978283d47aa6a1d6878ca20565622683")
PREPROCESSING = {
    "input_space": "RGB",
    "input_range": [0, 1],
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
}


def begun(
    name: str, bands: int = 3, dtype: str = "uint8", pretrained: bool | str = True
) -> tuple[Segmenter, ModelCard, str]:
    """A segmenter that begins with the weights, its card, and what was said."""
    card = replace(card_of(ModelSettings(name=name, pretrained=pretrained), bands), dtype=dtype)
    segmenter = segmenter_of(card, seed=5)
    card, told = begin_with(segmenter, card)
    return segmenter, card, "\n".join(told)


def found(name: str, pretrained: bool | str = True) -> Pretrained:
    path = weights_file(pretrained) if isinstance(pretrained, str) else None
    return published_or_foreign(make_blueprint(ModelSettings(name=name, pretrained=pretrained), 3, 4), path)


def unet(**settings: object) -> tuple[Segmenter, ModelCard]:
    card = card_of(ModelSettings(**{"width": 4, "depth": 2, "up": "bilinear", **settings}), 3)
    return segmenter_of(card), card


def resnet18() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return smp.encoders.get_encoder("resnet18", weights=None).state_dict()


def publish_resnet18(hub_cache: HubCache, **said: object) -> dict[str, torch.Tensor]:
    tensors = resnet18()
    files = {"model.safetensors": save(tensors), "config.json": json.dumps(PREPROCESSING | said).encode()}
    repository, commit = RESNET18
    hub_cache.publish(repository, files, commit)
    return tensors


def test_an_encoder_of_smp(hub_cache: HubCache) -> None:
    tensors = publish_resnet18(hub_cache)
    segmenter, card, told = begun("smp:Unet/resnet18")
    for name, tensor in tensors.items():
        assert segmenter.state_dict()[f"network.encoder.{name}"].equal(tensor)
    assert (segmenter.mean.flatten().tolist(), segmenter.std.flatten().tolist()) == IMAGENET
    assert card.weights == {"source": "smp-hub/resnet18.imagenet@3f2325ff", "licence": "BSD-3-Clause (torchvision)"}
    assert f"loaded {len(tensors)} tensors, fresh" in told
    assert "(decoder." in told


def test_values_up_to_255_and_bgr_are_taken_as_the_weights_want_them(hub_cache: HubCache) -> None:
    mean = [104.0, 117.0, 123.0]
    tensors = publish_resnet18(hub_cache, input_space="BGR", input_range=[0, 255], mean=mean, std=[1.0, 2.0, 3.0])
    weights = found("smp:Unet/resnet18")
    assert weights.mean == (123.0, 117.0, 104.0)
    assert weights.std == (3.0, 2.0, 1.0)
    segmenter, _, _ = begun("smp:Unet/resnet18")
    assert segmenter.network.encoder.conv1.weight.equal(tensors["conv1.weight"].flip(1))


@pytest.mark.parametrize("bands", [1, 4])
def test_other_bands(bands: int, hub_cache: HubCache) -> None:
    tensors = publish_resnet18(hub_cache)
    segmenter, _, told = begun("smp:Unet/resnet18", bands)
    assert segmenter.state_dict()["network.encoder.conv1.weight"].equal(adapt_bands(tensors["conv1.weight"], bands))
    assert "adapted to the bands 1 (encoder.conv1)" in told
    if bands == 1:
        assert segmenter.mean.item() == pytest.approx(sum(IMAGENET[0].expected) / 3)
    else:
        assert segmenter.mean.flatten().tolist() == [120.0] * 4
        assert "input: mean and deviation of the training images, since the weights' own are for 3 bands" in told


def test_pictures_of_16_bits_keep_their_own_statistics(hub_cache: HubCache) -> None:
    publish_resnet18(hub_cache)
    segmenter, _, told = begun("smp:Unet/resnet18", dtype="uint16")
    assert segmenter.mean.flatten().tolist() == [120.0] * 3
    assert "since the weights' own are for uint8, and these are uint16" in told


def test_an_encoder_of_timm(hub_cache: HubCache) -> None:
    name = "mobilenetv3_small_050"
    torch.manual_seed(1)
    tensors = timm.create_model(name).state_dict()
    hub_cache.publish(f"timm/{name}.lamb_in1k", {"model.safetensors": save(tensors)})
    segmenter, card, _ = begun(f"smp:Unet/{name}")
    own = segmenter.network.encoder.model.state_dict()
    assert len(own) > 100
    assert all(tensors[key].equal(tensor) for key, tensor in own.items())
    assert (segmenter.mean.flatten().tolist(), segmenter.std.flatten().tolist()) == IMAGENET
    assert card.weights == {"source": f"timm/{name}.lamb_in1k@01234567", "licence": "apache-2.0"}


def test_a_file_as_timm_has_it(tmp_path: Path) -> None:
    torch.manual_seed(1)
    tensors = timm.create_model("mobilenetv3_small_050").state_dict()
    save_file(tensors, tmp_path / "timm.safetensors")
    segmenter, card, _ = begun("smp:FPN/tu-mobilenetv3_small_050", pretrained=str(tmp_path / "timm.safetensors"))
    assert segmenter.network.encoder.model.conv_stem.weight.equal(tensors["conv_stem.weight"])
    assert card.weights["source"] == str(tmp_path / "timm.safetensors")


def test_a_vision_transformer_of_timm(hub_cache: HubCache) -> None:
    torch.manual_seed(1)
    tensors = timm.create_model("vit_tiny_patch16_224").state_dict()
    hub_cache.publish("timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k", {"model.safetensors": save(tensors)})
    segmenter, _, _ = begun("smp:DPT/vit_tiny_patch16_224")
    assert segmenter.network.encoder.model.blocks[3].mlp.fc1.weight.equal(tensors["blocks.3.mlp.fc1.weight"])
    assert segmenter.mean.flatten().tolist() == [127.5] * 3


def test_what_the_advice_for_offline_machines_brings_is_as_good_as_the_hub(tmp_path: Path) -> None:
    """A folder with the files of the repository, as `hf download` leaves them."""
    save_file(resnet18(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(PREPROCESSING | {"mean": [0.5, 0.5, 0.5]}))
    segmenter, card, _ = begun("smp:Unet/resnet18", pretrained=str(tmp_path))
    assert segmenter.state_dict()["network.encoder.conv1.weight"].equal(resnet18()["conv1.weight"])
    assert segmenter.mean.flatten().tolist() == [127.5] * 3
    assert card.weights["source"] == str(tmp_path / "model.safetensors")


def test_a_whole_network_that_smp_saved(tmp_path: Path) -> None:
    torch.manual_seed(1)
    donor = smp.Unet("resnet18", encoder_weights=None, classes=9)
    donor.save_pretrained(tmp_path / "saved")
    segmenter, _, told = begun("smp:Unet/resnet18", pretrained=str(tmp_path / "saved"))
    same = {
        name for name, tensor in donor.state_dict().items() if segmenter.network.state_dict()[name].equal(tensor)
    }
    assert set(donor.state_dict()) - same == {"segmentation_head.0.weight", "segmentation_head.0.bias"}
    assert "replaced for the classes 2 (segmentation_head.0)" in told
    assert "fresh" not in told


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch, hub_cache: HubCache) -> Path:
    """A state dict as torchvision publishes it, in torch's cache, under a name that tells its sum."""
    torch.manual_seed(1)
    donor = torchvision_models.deeplabv3_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=21, aux_loss=True
    )
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(donor.state_dict(), folder / "new.pth")
    digest = hashlib.sha256((folder / "new.pth").read_bytes()).hexdigest()[:8]
    path = (folder / "new.pth").rename(folder / f"deeplab_coco-{digest}.pth")
    published_weights = DeepLabV3_MobileNet_V3_Large_Weights.COCO_WITH_VOC_LABELS_V1.value
    monkeypatch.setattr(published_weights, "url", f"http://127.0.0.1:9/{path.name}")
    return path


@pytest.mark.parametrize("auxiliary", [True, False])
def test_a_whole_network_of_torchvision(published: Path, auxiliary: bool) -> None:
    settings = ModelSettings(name="torchvision:deeplabv3_mobilenet_v3_large", pretrained=True, auxiliary=auxiliary)
    card = card_of(settings, 3)
    segmenter = segmenter_of(card, seed=5)
    card, told = begin_with(segmenter, card)
    donor = torch.load(published, weights_only=True)
    assert segmenter.state_dict()["network.backbone.4.block.0.0.weight"].equal(donor["backbone.4.block.0.0.weight"])
    heads = "(classifier.4, aux_classifier.4)" if auxiliary else "(classifier.4)"
    assert f"replaced for the classes {4 if auxiliary else 2} {heads}" in told[1]
    assert ("left in the file" in told[1]) is not auxiliary
    assert card.weights == {"source": published.name, "licence": "BSD-3-Clause (torchvision)"}


def test_a_published_file_with_a_flipped_byte_is_refused(published: Path) -> None:
    content = bytearray(published.read_bytes())
    content[-2000] ^= 1
    published.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"is not what torchvision published \(SHA-256 differs\)"):
        begun("torchvision:deeplabv3_mobilenet_v3_large")


def test_a_repository_of_the_hub_in_the_format_of_transformers(hub_cache: HubCache, tmp_path: Path) -> None:
    folder = transformers_checkpoint(tmp_path / "local", "segformer")
    commit = hub_cache.publish("nvidia/segformer-tiny", {path.name: path.read_bytes() for path in folder.iterdir()})
    segmenter, card, told = begun("hf:nvidia/segformer-tiny")
    assert card.weights["source"] == f"nvidia/segformer-tiny@{commit[:8]}"
    assert card.weights["licence"] == "NVIDIA Source Code License for SegFormer: non-commercial"
    assert segmenter.mean.flatten().tolist() == pytest.approx([127.5, 102.0, 76.5])
    assert "replaced for the classes 2 (decode_head.classifier)" in told
    assert not set(card.config) & {"id2label", "label2id", "auto_map"}


def test_the_licence_of_a_folder_is_what_its_card_states(checkpoints: Path) -> None:
    settings = settings_of("hf:beit", checkpoints)
    assert found(str(settings.name)).licence == "cc-by-4.0"


def test_a_classifier_of_the_same_family_gives_its_encoder(tmp_path: Path) -> None:
    """As nvidia/mit-b0: SegformerForImageClassification, whose config has no decoder of its own."""
    import transformers

    config = transformers.SegformerConfig(
        depths=[1] * 4, hidden_sizes=[8, 16, 24, 32], num_attention_heads=[1, 1, 2, 2], decoder_hidden_size=16
    )
    torch.manual_seed(1)
    donor = transformers.SegformerForImageClassification(config)
    donor.save_pretrained(tmp_path / "mit")
    segmenter, _, told = begun(f"hf:{tmp_path / 'mit'}")
    own = segmenter.network.state_dict()
    encoder = [name for name in donor.state_dict() if name.startswith("segformer.")]
    assert encoder
    assert all(own[name].equal(donor.state_dict()[name]) for name in encoder)
    assert "(decode_head." in told
    assert "left in the file 2 (classifier)" in told


def test_weights_of_a_run_of_our_own_come_with_their_statistics_and_licence(tmp_path: Path) -> None:
    settings = settings_of("unet", tmp_path)
    card = ModelCard(
        settings, card_of(settings, 3, 9).labels, 3, card_of(settings, 3).data, weights={"licence": "CC0"}
    )
    donor = segmenter_of(card, seed=1)
    donor.mean.fill_(90.0)
    save_model(donor, card, tmp_path / "model.safetensors")
    begin = card_of(settings.model_copy(update={"pretrained": str(tmp_path)}), 3)
    segmenter = segmenter_of(begin, seed=2)
    begin, told = begin_with(segmenter, begin)
    assert segmenter.network.encoder[1][0].weight.equal(donor.network.encoder[1][0].weight)
    assert segmenter.mean.flatten().tolist() == [90.0] * 3
    assert begin.weights == {"source": f"{tmp_path / 'model.safetensors'} (unet)", "licence": "CC0"}
    assert "replaced for the classes 2 (head)" in told[1]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "smp:Unet/resnet18",
            r"smp-hub/resnet18\.imagenet/model\.safetensors: is not in the cache, and the hub cannot be reached\. "
            r"Where there is a network: `hf download smp-hub/resnet18\.imagenet --revision \w+ --local-dir "
            r"FOLDER`; then here model\.pretrained=FOLDER, or model\.pretrained=false to begin with random",
        ),
        ("smp:Unet/mobilenetv3_small_050", r"timm/mobilenetv3_small_050\.lamb_in1k/model\.safetensors: is not in"),
        ("torchvision:fcn_resnet50", r"fcn_resnet50_coco-\w+\.pth: is not there, and \S+ cannot be downloaded"),
        ("hf:nvidia/mit-b0", r"nvidia/mit-b0/config\.json: is not in the cache.* then here --model hf:FOLDER\."),
    ],
)
def test_without_a_network_the_missing_file_is_named_with_what_to_do(
    name: str, words: str, hub_cache: HubCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = torchvision_models.FCN_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1.value
    monkeypatch.setattr(place, "url", place.url.replace("https://download.pytorch.org", "http://127.0.0.1:9"))
    with pytest.raises(MachineError, match=words):
        found(name)


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"name": "unet", "pretrained": True}, SettingsError, r"no weights are published for unet\. Give a file"),
        ({"name": "unet", "pretrained": "nowhere"}, ModelFileError, r"model\.pretrained = nowhere: does not exist"),
        (
            {"name": "unet", "pretrained": "."},
            ModelFileError,
            r"model\.pretrained = \.: holds no model\.safetensors",
        ),
    ],
)
def test_weights_that_are_not_there(
    settings: dict[str, object], error: type[Exception], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=words):
        begin_with(*unet(**settings))


def test_a_repository_with_nothing_but_pickles_is_refused(tmp_path: Path) -> None:
    folder = transformers_checkpoint(tmp_path / "old", "segformer")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(SettingsError, match=r"has no model\.safetensors\. Only safetensors are loaded"):
        found(f"hf:{folder}")


@pytest.mark.parametrize("extra", [{}, {"auto_map": {"AutoModel": "evil.Network"}}])
def test_a_family_that_nobody_knows_is_refused_and_its_code_not_run(
    extra: dict[str, object], tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "evil", **extra}))
    (tmp_path / "evil.py").write_text("raise SystemExit('was run')")
    with pytest.raises(SettingsError, match=r"its config says 'evil'\. Known: beit, .*upernet\.") as refused:
        found(f"hf:{tmp_path}")
    assert ("Code from a repository is never run." in str(refused.value)) is bool(extra)


@pytest.mark.parametrize("name", ["densenet121", "mit_b0", "mobilenet_v2"])
def test_other_encoders_of_smp_in_their_own_format(name: str, hub_cache: HubCache) -> None:
    torch.manual_seed(1)
    tensors = smp.encoders.get_encoder(name, weights=None).state_dict()
    where = smp.encoders.encoders[name]["pretrained_settings"]["imagenet"]
    stored = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", key): one
        for key, one in tensors.items()
        if not ("dense" in name and key.endswith("num_batches_tracked"))
    }
    files = {"model.safetensors": save(stored), "config.json": json.dumps(PREPROCESSING).encode()}
    hub_cache.publish(where["repo_id"], files, where["revision"])
    segmenter, _, _ = begun(f"smp:FPN/{name}" if name != "mit_b0" else "smp:Segformer/mit_b0")
    own = segmenter.network.encoder.state_dict()
    assert all(own[key].equal(tensor) for key, tensor in tensors.items() if not key.startswith("classifier"))


@pytest.mark.parametrize("kind", ["another encoder's", "another library's"])
def test_a_file_of_another_encoder_is_refused_although_timm_says_nothing(kind: str, tmp_path: Path) -> None:
    donor = timm.create_model("resnet10t") if kind == "another encoder's" else torch.nn.Linear(3, 3)
    save_file(donor.state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(ModelFileError, match="the weights belong to another network"):
        begun("smp:Unet/tu-mobilenetv3_small_050", pretrained=str(tmp_path / "other.safetensors"))


def test_an_encoder_of_timm_as_smp_names_it(tmp_path: Path) -> None:
    torch.manual_seed(1)
    donor = smp.encoders.get_encoder("tu-mobilenetv3_small_050", weights=None)
    save_file(donor.state_dict(), tmp_path / "encoder.safetensors")
    segmenter, card, told = begun(
        "smp:Unet/mobilenetv3_small_050", pretrained=str(tmp_path / "encoder.safetensors")
    )
    own = segmenter.network.encoder.state_dict()
    assert all(own[name].equal(tensor) for name, tensor in donor.state_dict().items())
    assert card.weights["licence"].startswith("unknown")
    assert "of ImageNet, since nothing states the weights' own" in told


def test_statistics_of_another_depth_are_not_taken(tmp_path: Path) -> None:
    card = replace(card_of(settings_of("unet", tmp_path), 3), dtype="uint16")
    donor = segmenter_of(card)
    donor.mean.fill_(12000.0)
    save_model(donor, card, tmp_path / "model.safetensors")
    for dtype, expected in (("uint16", 12000.0), ("uint8", 120.0)):
        given = settings_of("unet", tmp_path, pretrained=str(tmp_path))
        begin = replace(card_of(given, 3), dtype=dtype)
        segmenter = segmenter_of(begin)
        begin_with(segmenter, begin)
        assert segmenter.mean.flatten().tolist() == [expected] * 3


def test_a_run_with_another_stem_or_a_flipped_byte_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    card = card_of(settings_of("unet", tmp_path, stem=2), 3)
    save_model(segmenter_of(card), card, path)
    begin = card_of(settings_of("unet", tmp_path, stem=4, pretrained=str(tmp_path)), 3)
    with pytest.raises(
        ModelFileError, match=r"trained with model\.stem = 2, this network has 4\. Leave model\.stem out"
    ):
        begin_with(segmenter_of(begin), begin)
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"is not what was saved \(SHA-256 differs\)"):
        begin_with(segmenter_of(begin), begin)


@pytest.mark.parametrize("content", ["{", "[1]", ""])
@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json"])
def test_a_damaged_description_is_named(name: str, content: str, tmp_path: Path) -> None:
    folder = transformers_checkpoint(tmp_path / "local", "segformer")
    (folder / name).write_text(content)
    with pytest.raises(ModelFileError, match=rf"{name}: (is damaged or not JSON|holds no JSON object)"):
        found(f"hf:{folder}")


def test_another_file_beside_a_config_is_the_one_that_is_read(tmp_path: Path) -> None:
    folder = transformers_checkpoint(tmp_path / "local", "segformer")
    tensors = {
        name: torch.full_like(tensor, 0.5) for name, tensor in read_tensors(folder / "model.safetensors").items()
    }
    save_file(tensors, folder / "ema.safetensors")
    segmenter, _, _ = begun(f"hf:{folder}", pretrained=str(folder / "ema.safetensors"))
    assert (segmenter.state_dict()["network.decode_head.batch_norm.weight"] == 0.5).all()


def test_a_folder_of_another_family_is_refused(tmp_path: Path) -> None:
    one, other = (transformers_checkpoint(tmp_path / family, family) for family in ("segformer", "beit"))
    with pytest.raises(ModelFileError, match=r"its config says 'beit', that of hf:.* says 'segformer'"):
        begun(f"hf:{one}", pretrained=str(other))


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("license: mit", "mit"),
        ("license: other\nlicense_name: house-licence", "house-licence"),
        ("license: other\nlicense_link: LICENSE", "LICENSE"),
        ("tags:\n- vision", "unknown: see where they were published"),
    ],
)
def test_the_licence_of_a_repository_is_fetched_with_its_card(
    card: str, licence: str, hub_cache: HubCache, tmp_path: Path
) -> None:
    folder = transformers_checkpoint(tmp_path / "local", "segformer")
    (folder / "README.md").write_text(f"---\n{card}\n---\nlicense: not here\n")
    hub_cache.publish("somebody/segformer", {path.name: path.read_bytes() for path in folder.iterdir()})
    assert found("hf:somebody/segformer").licence == licence


def test_a_folder_named_as_the_repository_was_keeps_its_licence(tmp_path: Path) -> None:
    folder = transformers_checkpoint(tmp_path / "mit-b0", "segformer")
    (folder / "README.md").write_text("---\nlicense: other\n---\n")
    assert "non-commercial" in found(f"hf:{folder}").licence


def test_a_folder_called_like_a_repository_is_believed_on_its_own_card(tmp_path: Path) -> None:
    folder = transformers_checkpoint(tmp_path / "mit-of-my-own", "segformer")
    assert found(f"hf:{folder}").licence == "cc-by-4.0"
