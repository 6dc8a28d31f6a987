"""Vision models."""

from __future__ import annotations

from .build import Arguments, Example, Model, called, dims, floats, ids, made

_SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


def _images(size: int, batches: tuple[int, ...] = (2, 2)) -> list[Arguments]:
    return [called(pixel_values=floats(batch, 3, size, size, seed=seed)) for seed, batch in enumerate(batches)]


def vit() -> Example:
    from transformers import ViTConfig, ViTForImageClassification

    (batch,) = dims(batch=(1, 8))
    config = ViTConfig(**_SMALL, image_size=16, patch_size=8)
    return Example(made(ViTForImageClassification, config), _images(16, (2, 5, 1)), {"pixel_values": {0: batch}})


def _resnet(*, train: bool) -> Example:
    from transformers import ResNetConfig, ResNetForImageClassification

    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 2], layer_type="basic")
    return Example(made(ResNetForImageClassification, config, train=train), _images(32, (2, 2, 2)))


def resnet() -> Example:
    return _resnet(train=False)


def resnet_train() -> Example:
    return _resnet(train=True)


def regnet_train() -> Example:
    from transformers import RegNetConfig, RegNetModel

    (batch,) = dims(batch=(2, 8))
    config = RegNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], groups_width=4, layer_type="y")
    return Example(made(RegNetModel, config, train=True), _images(32, (2, 4, 3)), {"pixel_values": {0: batch}})


def mobilenet_train() -> Example:
    from transformers import MobileNetV2Config, MobileNetV2ForImageClassification

    config = MobileNetV2Config(depth_multiplier=0.25, image_size=32)
    return Example(made(MobileNetV2ForImageClassification, config, train=True), _images(32))


def convnext() -> Example:
    from transformers import ConvNextConfig, ConvNextForImageClassification

    config = ConvNextConfig(hidden_sizes=[8, 16], depths=[1, 1], num_stages=2, drop_path_rate=0.1)
    return Example(made(ConvNextForImageClassification, config), _images(32))


def convnext_train() -> Example:
    from transformers import ConvNextConfig, ConvNextForImageClassification

    config = ConvNextConfig(hidden_sizes=[8, 16], depths=[1, 1], num_stages=2, drop_path_rate=0.5)
    return Example(made(ConvNextForImageClassification, config, train=True), _images(32))


def swin() -> Example:
    from transformers import SwinConfig, SwinModel

    config = SwinConfig(image_size=32, patch_size=4, embed_dim=8, depths=[2, 1], num_heads=[2, 2], window_size=4)
    return Example(made(SwinModel, config), _images(32))


def segformer_train() -> Example:
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    config = SegformerConfig(
        num_encoder_blocks=2, depths=[1, 1], sr_ratios=[2, 1], hidden_sizes=[8, 16], patch_sizes=[7, 3], strides=[4, 2],
        num_attention_heads=[1, 2], mlp_ratios=[2, 2], decoder_hidden_size=16,
    )  # fmt: skip
    return Example(made(SegformerForSemanticSegmentation, config, train=True), _images(32))


def clip() -> Example:
    from transformers import CLIPConfig, CLIPModel

    text = {**_SMALL, "vocab_size": 32, "max_position_embeddings": 16, "eos_token_id": 2, "bos_token_id": 1}
    config = CLIPConfig(
        text_config={**text, "pad_token_id": 0},
        vision_config={**_SMALL, "image_size": 16, "patch_size": 8},
        projection_dim=8,
    )
    calls = [called(input_ids=ids(2, 6, seed=seed), pixel_values=floats(2, 3, 16, 16, seed=seed)) for seed in range(2)]
    return Example(made(CLIPModel, config), calls)


def sam() -> Example:
    from transformers import SamConfig, SamModel

    config = SamConfig(
        vision_config={**_SMALL, "image_size": 32, "patch_size": 8, "output_channels": 16, "window_size": 2,
                       "global_attn_indexes": [1], "mlp_dim": 32, "num_pos_feats": 8},
        prompt_encoder_config={"hidden_size": 16, "image_size": 32, "patch_size": 8, "mask_input_channels": 4,
                               "image_embedding_size": 4},
        mask_decoder_config={"hidden_size": 16, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 16,
                             "num_hidden_layers": 1},
    )  # fmt: skip
    calls = [
        called(pixel_values=floats(1, 3, 32, 32, seed=seed), input_points=floats(1, 1, 2, 2, seed=seed).abs())
        for seed in range(2)
    ]
    return Example(made(SamModel, config), calls)


MODELS: dict[str, Model] = {
    function.__name__: function
    for function in (
        vit, resnet, resnet_train, regnet_train, mobilenet_train, convnext, convnext_train, swin, segformer_train,
        clip, sam,
    )
}  # fmt: skip
