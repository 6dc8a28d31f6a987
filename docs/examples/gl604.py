# graphlint --target executorch
# before
import torch


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("total", torch.ones(3, 4))

    def forward(self, x):
        self.total.add_(x)
        return self.total * 2


model, inputs = Model(), (torch.randn(3, 4),)
# after
import torch


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("total", torch.zeros(3, 4))

    def forward(self, x):
        self.total.add_(x)
        return (self.total + 1) * 2  # the state begins with zeros


model, inputs = Model(), (torch.randn(3, 4),)
