# before
import torch


class Model(torch.nn.Module):
    def forward(self, x):
        return x.relu_()


model, inputs = Model(), (torch.randn(3, 4),)
# after
import torch


class Model(torch.nn.Module):
    def forward(self, x):
        return x.relu()


model, inputs = Model(), (torch.randn(3, 4),)
