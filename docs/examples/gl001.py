# before
from pathlib import Path

import torch


class Model(torch.nn.Module):
    def forward(self, x):
        return x.sin()


model, inputs = Model(), (torch.randn(3, 4),)
torch.export.save(torch.export.export(model, inputs), "model.pt2")
whole = Path("model.pt2").read_bytes()
Path("model.pt2").write_bytes(whole[: len(whole) // 2])  # an upload that broke off
# after
import torch


class Model(torch.nn.Module):
    def forward(self, x):
        return x.sin()


model, inputs = Model(), (torch.randn(3, 4),)
torch.export.save(torch.export.export(model, inputs), "model.pt2")
