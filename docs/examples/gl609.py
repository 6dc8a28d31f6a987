# graphlint --config 'targets.phone.max-nodes = 3' --target phone
# before
import torch


class Model(torch.nn.Module):
    def forward(self, x):
        for _ in range(4):
            x = x + 1
        return x


model, inputs = Model(), (torch.randn(3, 4),)
# after
import torch


class Model(torch.nn.Module):
    def forward(self, x):
        return x + 4


model, inputs = Model(), (torch.randn(3, 4),)
