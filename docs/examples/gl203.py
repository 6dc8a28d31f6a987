# before
import torch


class Model(torch.nn.Module):
    def forward(self, x, length):
        n = length.item()
        torch._check(n >= 2)
        torch._check(n <= x.shape[0])
        return x[:n].sum()


model, inputs = Model(), (torch.randn(8, 4), torch.tensor(3))
# after
import torch


class Model(torch.nn.Module):
    def forward(self, x):  # the caller cuts: the length is a size of the input
        return x.sum()


model, inputs = Model(), (torch.randn(3, 4),)
dynamic_shapes = ({0: torch.export.Dim("length", min=2)},)
