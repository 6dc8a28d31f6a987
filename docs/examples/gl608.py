# graphlint --config 'targets.phone = { dtypes = ["float32", "int64", "bool"] }' --target phone
# before
import torch


class Model(torch.nn.Module):
    def forward(self, x):
        return x.double().sum()


model, inputs = Model(), (torch.randn(3, 4),)
# after
import torch


class Model(torch.nn.Module):
    def forward(self, x):
        return x.sum()


model, inputs = Model(), (torch.randn(3, 4),)
