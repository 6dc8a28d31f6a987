# graphlint --target inductor
# before
import torch


class Layer(torch.nn.Module):
    def __init__(self, keys):
        super().__init__()
        self.register_buffer("keys", keys)

    def forward(self, x):
        return self.keys.add_(x)


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        keys = torch.zeros(3, 4)
        self.one, self.two = Layer(keys), Layer(keys)  # one tensor, two names

    def forward(self, x):
        return self.one(x) + self.two.keys


model, inputs = Model(), (torch.randn(3, 4),)
# after
import torch


class Layer(torch.nn.Module):
    def forward(self, keys, x):
        return keys.add_(x)


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("keys", torch.zeros(3, 4))  # the layers are handed what they share
        self.one = Layer()

    def forward(self, x):
        return self.one(self.keys, x) + self.keys


model, inputs = Model(), (torch.randn(3, 4),)
