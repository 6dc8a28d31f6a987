# graphlint --target onnx
# before
import torch


class Model(torch.nn.Module):
    def forward(self, x):
        return torch.masked_select(x, x > 0).sum()


model, inputs = Model(), (torch.randn(3, 4),)
# after
import torch


class Model(torch.nn.Module):
    def forward(self, x):
        return torch.where(x > 0, x, 0).sum()


model, inputs = Model(), (torch.randn(3, 4),)
