# before
import torch


class Model(torch.nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        torch.add(x, 1, out=out)
        return out


model, inputs = Model(), (torch.randn(3, 4),)
# after
import torch


class Model(torch.nn.Module):
    def forward(self, x):
        return torch.add(x, 1)


model, inputs = Model(), (torch.randn(3, 4),)
