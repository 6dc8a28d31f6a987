# graphlint --target onnx
# before
import torch


class Model(torch.nn.Module):
    def forward(self, x):
        torch.ops.aten._assert_async.msg((x > -100).all(), "x must be above -100")
        return x + 3


model, inputs = Model(), (torch.randn(3, 4),)
# after
import torch


class Model(torch.nn.Module):
    def forward(self, x):
        return x + 3, (x > -100).all()  # the caller looks at it


model, inputs = Model(), (torch.randn(3, 4),)
