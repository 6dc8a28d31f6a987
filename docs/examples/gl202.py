# before
import torch


class Model(torch.nn.Module):
    def forward(self, x):
        torch.ops.aten._assert_async(x.any())
        return x + 3


model, inputs = Model(), (torch.randn(3, 4),)
# after
import torch


class Model(torch.nn.Module):
    def forward(self, x):
        torch.ops.aten._assert_async.msg(x.any(), "x is zero")  # GL201, which --fix keeps alive
        return x + 3


model, inputs = Model(), (torch.randn(3, 4),)
