# graphlint --requires-torch '>=2.9'
# before
import torch


class Model(torch.nn.Module):
    def forward(self, x):
        return torch.cholesky(x)


model, inputs = Model(), (torch.eye(3),)
# after
import torch


class Model(torch.nn.Module):
    def forward(self, x):
        return torch.linalg.cholesky(x)


model, inputs = Model(), (torch.eye(3),)
