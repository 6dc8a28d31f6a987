# before
import torch


class Model(torch.nn.Module):
    def forward(self, x):
        y = x * 2
        y += 1
        return y


model, inputs = Model(), (torch.randn(3, 4),)
# after
import torch


class Model(torch.nn.Module):
    def forward(self, x):
        y = x * 2
        y = y + 1
        return y


model, inputs = Model(), (torch.randn(3, 4),)
