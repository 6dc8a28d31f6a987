# before
from pathlib import Path

Path("model.pt2").write_text(  # what git leaves where Git LFS has not fetched the artifact
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\n"
    "size 123456\n"
)
# after
import torch


class Model(torch.nn.Module):
    def forward(self, x):
        return x.sin()


model, inputs = Model(), (torch.randn(3, 4),)
torch.export.save(torch.export.export(model, inputs), "model.pt2")  # or: git lfs pull
