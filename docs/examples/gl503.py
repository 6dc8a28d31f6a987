# before
import torch


class Model(torch.nn.Module):
    def forward(self, x):
        return x.t()


model, inputs = Model(), (torch.randn(3, 4),)
# after
import torch


class Model(torch.nn.Module):
    def forward(self, x):
        return x.t().clone()


model, inputs = Model(), (torch.randn(3, 4),)
