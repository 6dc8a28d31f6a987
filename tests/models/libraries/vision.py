"""torchvision and timm."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.models.libraries.build import Case, Made, Maker, images, seeded


def _torchvision(name: str, size: int = 64, **options: Any) -> Maker:
    def make() -> Made:
        import torchvision

        options.setdefault("num_classes", 5)
        module = seeded(lambda: torchvision.models.get_model(name, weights=None, **options))
        return Made(module, images(size))

    return make


def _timm(name: str, size: int = 64, **options: Any) -> Maker:
    def make() -> Made:
        import timm

        module = seeded(lambda: timm.create_model(name, pretrained=False, num_classes=5, **options))
        return Made(module, images(size))

    return make


def _video(name: str, frames: int = 4, size: int = 32) -> Maker:
    def make() -> Made:
        import torchvision
        from tests.models.zoo import build

        module = seeded(lambda: torchvision.models.get_model(name, weights=None, num_classes=5))
        return Made(module, lambda batch, seed: ((build.floats(batch, 3, frames, size, size, seed=seed),), {}))

    return make


def _raft() -> Made:
    import torchvision
    from tests.models.zoo import build

    module = seeded(lambda: torchvision.models.get_model("raft_small", weights=None))

    def call(batch: int, seed: int) -> Any:
        pair = (build.floats(batch, 3, 128, 128, seed=seed + place) for place in range(2))
        return tuple(pair), {"num_flow_updates": 2}

    return Made(module, call)


_TORCHVISION: dict[str, tuple[Maker, tuple[str, ...]]] = {
    "googlenet": (_torchvision("googlenet", init_weights=False), ("eval",)),
    "inception_v3": (_torchvision("inception_v3", 80, init_weights=False), ("eval",)),
    "squeezenet1_1": (_torchvision("squeezenet1_1"), ("dynamic", "pt2e")),
    "densenet121": (_torchvision("densenet121", 32), ("train",)),
    "mnasnet0_5": (_torchvision("mnasnet0_5"), ("train decomposed", "qat")),
    "shufflenet_v2_x0_5": (_torchvision("shufflenet_v2_x0_5"), ("train", "dynamic")),
    "efficientnet_b0": (_torchvision("efficientnet_b0"), ("train dynamic", "bf16")),
    "mobilenet_v2": (_torchvision("mobilenet_v2"), ("train autocast", "pt2e", "qat")),
    "mobilenet_v3_small": (_torchvision("mobilenet_v3_small"), ("train", "strict bf16", "autocast")),
    "regnet_y_400mf": (_torchvision("regnet_y_400mf", 32), ("train bf16",)),
    "resnext50_32x4d": (_torchvision("resnext50_32x4d", 32), ("strict dynamic",)),
    "swin_v2_t": (_torchvision("swin_v2_t"), ("train",)),
    "lraspp": (_torchvision("lraspp_mobilenet_v3_large", weights_backbone=None), ("train",)),
    "deeplabv3": (_torchvision("deeplabv3_mobilenet_v3_large", weights_backbone=None), ("train dynamic",)),
    "mc3_18": (_video("mc3_18"), ("train",)),
    "raft_small": (_raft, ("eval",)),
}
_TIMM: dict[str, tuple[Maker, tuple[str, ...]]] = {
    "resnet10t": (_timm("resnet10t"), ("train strict dynamic",)),
    "efficientnet_lite0": (_timm("efficientnet_lite0"), ("train", "qat")),
    "mixer_s32_224": (_timm("mixer_s32_224", img_size=64), ("train",)),
    "gmlp_ti16_224": (_timm("gmlp_ti16_224", img_size=64), ("dynamic",)),
    "levit_128s": (_timm("levit_128s", 64, img_size=64), ("train",)),
    "mobilevit_xxs": (_timm("mobilevit_xxs"), ("train",)),
    "mobilevitv2_050": (_timm("mobilevitv2_050"), ("train autocast",)),
    "edgenext_xx_small": (_timm("edgenext_xx_small"), ("train",)),
    "poolformer_s12": (_timm("poolformer_s12"), ("bf16",)),
    "coat_lite_tiny": (_timm("coat_lite_tiny", img_size=64), ("strict",)),
    "deit_tiny": (_timm("deit_tiny_patch16_224", img_size=64), ("train dynamic",)),
    "beit_base": (_timm("beit_base_patch16_224", img_size=64, depth=1), ("eval",)),
    "cait_xxs24": (_timm("cait_xxs24_224", img_size=64, depth=2), ("train",)),
    "xcit_nano": (_timm("xcit_nano_12_p16_224", img_size=64, depth=2), ("train",)),
    "eca_nfnet_l0": (_timm("eca_nfnet_l0", 32), ("train",)),
    "ghostnet_050": (_timm("ghostnet_050"), ("train",)),
    "dla34": (_timm("dla34", 32), ("train",)),
    "repvgg_a0": (_timm("repvgg_a0", 32), ("train",)),
    "rexnet_100": (_timm("rexnet_100", 32), ("train bf16",)),
    "twins_pcpvt_small": (_timm("twins_pcpvt_small", img_size=64), ("eval",)),
    "volo_d1": (_timm("volo_d1_224", img_size=64), ("train",)),
    "tiny_vit_5m": (_timm("tiny_vit_5m_224", 224), ("train autocast",)),
    "pvt_v2_b0": (_timm("pvt_v2_b0"), ("train",)),
    "focalnet_tiny": (_timm("focalnet_tiny_srf"), ("eval",)),
    "mambaout_femto": (_timm("mambaout_femto"), ("train",)),
    "sequencer2d_s": (_timm("sequencer2d_s", img_size=64), ("eval",)),
}


def cases() -> Iterator[tuple[str, Case]]:
    """All, by name."""
    for library, models in (("torchvision", _TORCHVISION), ("timm", _TIMM)):
        for name, (maker, variants) in models.items():
            yield from ((f"{library} {name}: {variant}", Case(maker, variant)) for variant in variants)
