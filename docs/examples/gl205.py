# before
import torch


class Model(torch.nn.Module):
    def forward(self, x):
        return x.to(torch.float64) * 2


model, inputs = Model(), (torch.randn(3, 4),)
# after
import torch


class Model(torch.nn.Module):
    def forward(self, x):  # the caller hands in what is needed
        return x * 2


model, inputs = Model(), (torch.randn(3, 4, dtype=torch.float64),)
