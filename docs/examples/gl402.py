# before
import torch


class Model(torch.nn.Module):
    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return x @ x


model, inputs = Model(), (torch.randn(4, 4),)
# after
import torch


class Model(torch.nn.Module):
    def forward(self, x):
        x = x.bfloat16()
        return x @ x


model, inputs = Model(), (torch.randn(4, 4),)
