# before
from dataclasses import dataclass

import torch


@dataclass
class Batch:
    tokens: torch.Tensor
    mask: torch.Tensor


torch.export.register_dataclass(Batch, serialized_type_name="mylib.Batch")


class Model(torch.nn.Module):
    def forward(self, batch):
        return batch.tokens * batch.mask


model, inputs = Model(), (Batch(torch.randn(3), torch.ones(3)),)
# after
import torch


class Model(torch.nn.Module):
    def forward(self, batch):
        return batch["tokens"] * batch["mask"]


model, inputs = Model(), ({"tokens": torch.randn(3), "mask": torch.ones(3)},)
