# before
import torch


class Model(torch.nn.Module):
    def forward(self, x):
        return x + torch.randn_like(x)


model, inputs = Model(), (torch.randn(3, 4),)
# after
import torch


class Model(torch.nn.Module):
    def forward(self, x, noise):
        return x + noise


model, inputs = Model(), (torch.randn(3, 4), torch.randn(3, 4))
