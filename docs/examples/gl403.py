# before
import torch


class Model(torch.nn.Module):
    def forward(self, wanted, x):
        def check(x):
            torch.ops.aten._assert_async.msg(x.any(), "x is zero")
            return x.sin()

        torch.cond(wanted, check, torch.cos, (x,))  # nobody uses what it returns
        return x + 1


model, inputs = Model(), (torch.tensor(True), torch.randn(4))
# after
import torch


class Model(torch.nn.Module):
    def forward(self, wanted, x):
        torch.ops.aten._assert_async.msg(~wanted | x.any(), "x is zero")
        return x + 1


model, inputs = Model(), (torch.tensor(True), torch.randn(4))
