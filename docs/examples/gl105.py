# before
import torch


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.seen = torch.zeros(3, 4)  # no buffer: export lifts it as a constant

    def forward(self, x):
        self.seen.add_(x)
        return self.seen * 2


model, inputs = Model(), (torch.randn(3, 4),)
# after
import torch


class Model(torch.nn.Module):
    def forward(self, x, seen):
        seen = seen + x
        return seen * 2, seen


model, inputs = Model(), (torch.randn(3, 4), torch.zeros(3, 4))
